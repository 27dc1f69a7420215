"""Likelihood against sampling speed, with the inversion error as colour."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from flowbench.compare.comparable import common_batch
from flowbench.compare.statistics import pareto_front
from flowbench.report.figures.layout import (
    MEASURES,
    SMALLEST,
    finished,
    powers_of_ten,
    text,
    two_errors,
)
from flowbench.report.theme import looks


def trade_off_data(rows: pd.DataFrame) -> pd.DataFrame:
    """Return likelihood, sampling speed and inversion error of one data set's families.

    The speed is that of the largest batch that most families were measured at, so that no two
    points of the figure were made at different batches. `front` marks the Pareto front of
    likelihood and speed.
    """
    measure = str(rows["ranked_by"].iloc[0])
    rows = rows[rows["rank"].notna()]
    batch = common_batch(rows) or 1
    data = pd.DataFrame({
        "family": rows["family"], "measure": measure, "value": rows[measure],
        "se": rows[f"{measure}_se"], "batch": batch, "speed": rows[f"speed_b{batch}"],
        "inversion": rows["inversion"], "run": [ids[0] for ids in rows["run_ids"]],
    })  # fmt: skip
    data = data[data["speed"].notna() & data["value"].notna()].reset_index(drop=True)
    front = pareto_front(
        {"value": data["value"], "speed": data["speed"]},
        {"value": measure == "bits_per_dim", "speed": False},
    )
    return data.assign(front=front)


def trade_off_figure(data: pd.DataFrame) -> go.Figure:
    """Draw likelihood against sampling speed, inversion error as colour, the front as a line."""
    figure = go.Figure()
    front = data[data["front"]].sort_values("speed")
    figure.add_trace(go.Scatter(
        x=front["speed"], y=front["value"], mode="lines", name="Pareto front", hoverinfo="skip",
        line={"color": "#808890", "width": 1.5, "dash": "dash"},
    ))  # fmt: skip
    colour = np.log10(data["inversion"].clip(lower=SMALLEST))
    above = labels_above(data)
    for family, look in looks(data["family"]).items():
        mine = data["family"] == family
        figure.add_trace(go.Scatter(
            x=data["speed"][mine], y=data["value"][mine], mode="markers+text", name=text(family),
            text=[text(family)], showlegend=False, cliponaxis=False,
            textposition="top center" if above[family] else "bottom center",
            error_y={"type": "data", "array": data["se"][mine].map(two_errors), "thickness": 1.2,
                     "color": look.colour},
            marker={
                "size": 15, "symbol": look.symbol, "color": colour[mine], "coloraxis": "coloraxis",
                "line": {
                    "width": [3 if on else 1 for on in data["front"][mine]], "color": look.colour,
                },
            },
            customdata=data[["inversion"]][mine].to_numpy(),
            hovertemplate="%{text}<br>%{y:.4f}<br>%{x:,.3g} samples/s"
            "<br>inversion error %{customdata[0]:.1e}<extra></extra>",
        ))  # fmt: skip
    figure.update_layout(coloraxis={"colorscale": "Cividis", "colorbar": powers_of_ten(colour)})
    batch = int(data["batch"].iloc[0]) if len(data) else 0
    figure.update_xaxes(type="log", title=f"samples per second at batch {batch:,}", dtick=1)
    figure.update_yaxes(title=MEASURES[str(data["measure"].iloc[0])] if len(data) else "")
    return finished(figure, height=420)


def labels_above(data: pd.DataFrame) -> dict[str, bool]:
    """Put a name above its point where its nearest neighbour lies below it, else beneath."""
    places = np.stack([np.log(data["speed"]), data["value"]], axis=1)
    spread = np.ptp(places, axis=0) if len(places) else np.ones(2)
    places = places / np.where(spread > 0, spread, 1.0)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = places[apart.argmin(axis=1)] if len(places) > 1 else places - 1
    above = places[:, 1] >= nearest[:, 1]
    return dict(zip(data["family"], map(bool, above), strict=True))
