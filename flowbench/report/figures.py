"""The figures for the screen: each first a tidy table, then drawn from it by Plotly."""

import html
import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from flowbench.compare.frame import Frame
from flowbench.compare.statistics import pareto_front
from flowbench.report.theme import looks

LONGEST = 28
"""Letters of a name that fit beside a point."""
SMALLEST = 1e-16
"""Inversion errors below this are drawn as this: zero has no place on a logarithmic scale."""
MEASURES = {"bits_per_dim": "bits per dimension", "gain": "gain over the Gaussian (bits/dim)"}


def likelihood_data(rows: pd.DataFrame) -> pd.DataFrame:
    """Return family, value and s.e. of the measure by which one data set's rows are ranked."""
    measure = str(rows["ranked_by"].iloc[0])
    return pd.DataFrame({
        "family": rows["family"], "measure": measure, "split": rows["split"],
        "value": rows[measure], "se": rows[f"{measure}_se"], "best": rows["best"],
    }).reset_index(drop=True)  # fmt: skip


def likelihood_figure(data: pd.DataFrame, baselines: dict[str, float]) -> go.Figure:
    """Draw one dot a family with two standard errors to each side, and the baselines as lines."""
    figure = go.Figure()
    for family, look in looks(data["family"]).items():
        row = data[data["family"] == family].iloc[0]
        figure.add_trace(go.Scatter(
            x=[row["value"]], y=[text(family)], mode="markers", name=text(family),
            error_x={"type": "data", "array": [_wide(row["se"])], "thickness": 1.6, "width": 5},
            marker={"color": look.colour, "symbol": look.symbol, "size": 12},
            hovertemplate="%{y}: %{x:.4f}<extra></extra>",
        ))  # fmt: skip
    for i, (name, value) in enumerate(shown_baselines(data, baselines).items()):
        # Labels of neighbours stand at three heights, so that they do not overprint.
        figure.add_vline(
            x=value, line={"dash": "dot", "width": 1.2, "color": "#808890"},
            annotation={
                "text": text(name), "font": {"size": 11}, "yref": "paper",
                "y": 1.05 + 0.05 * (i % 3),
            },
        )  # fmt: skip
    figure.update_yaxes(
        categoryorder="array", categoryarray=[text(f) for f in reversed(list(data["family"]))]
    )
    figure.update_xaxes(title=MEASURES[str(data["measure"].iloc[0])])
    return _finished(figure, height=max(420, 130 + 34 * len(data)), legend=False)


def shown_baselines(data: pd.DataFrame, baselines: dict[str, float]) -> dict[str, float]:
    """Return the baselines in the figure's measure, those near enough to share its axis.

    Args:
        data: from `likelihood_data`.
        baselines: name -> bits/dim.
    """
    if str(data["measure"].iloc[0]) == "gain":
        zero = baselines.get("Gaussian", math.nan)
        baselines = {name: zero - value for name, value in baselines.items()}
    low, high = float(data["value"].min()), float(data["value"].max())
    room = max(high - low, 0.1) * 1.5
    return {k: v for k, v in baselines.items() if low - room <= v <= high + room}


def trade_off_data(rows: pd.DataFrame) -> pd.DataFrame:
    """Return likelihood, sampling speed and inversion error of one data set's families.

    The speed is that of the largest batch that every family was measured at, so that no two
    points of the figure were made at different batches. `front` marks the Pareto front of
    likelihood and speed.
    """
    measure = str(rows["ranked_by"].iloc[0])
    rows = rows[rows["rank"].notna()]
    batch = next(
        (b for b in (1024, 64, 1) if rows[f"speed_b{b}"].notna().all() and len(rows)),
        max((1024, 64, 1), key=lambda b: rows[f"speed_b{b}"].notna().sum()),
    )
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
            text=[text(family)], showlegend=False,
            textposition="top center" if above[family] else "bottom center",
            error_y={"type": "data", "array": data["se"][mine].map(_wide), "thickness": 1.2,
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
    figure.update_layout(coloraxis={"colorscale": "Cividis", "colorbar": _powers_of_ten(colour)})
    batch = int(data["batch"].iloc[0]) if len(data) else 0
    figure.update_xaxes(type="log", title=f"samples per second at batch {batch:,}", dtick=1)
    figure.update_yaxes(title=MEASURES[str(data["measure"].iloc[0])] if len(data) else "")
    return _finished(figure, height=420)


def labels_above(data: pd.DataFrame) -> dict[str, bool]:
    """Put names above and below their points in turn, so that neighbours do not overprint."""
    return {family: i % 2 == 0 for i, family in enumerate(data.sort_values("speed")["family"])}


def curves_data(frame: Frame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return validation bits/dim against epoch (`step`) of the runs that are quoted."""
    curves = []
    for row in rows.to_dict("records"):
        for run in row["run_ids"]:
            history = frame.history(run, "val/bits_per_dim")
            curves.append(history.assign(family=row["family"], run=run))
    columns = ["family", "run", "step", "value"]
    return (
        pd.concat(curves, ignore_index=True)[columns] if curves else pd.DataFrame(columns=columns)
    )


def curves_figure(data: pd.DataFrame) -> go.Figure:
    """Draw one line a run, coloured by family."""
    figure = go.Figure()
    for family, look in looks(data["family"]).items():
        mine = data[data["family"] == family]
        for i, (run, curve) in enumerate(mine.groupby("run", sort=False)):
            figure.add_trace(go.Scatter(
                x=curve["step"], y=curve["value"], name=text(family), legendgroup=text(family),
                showlegend=i == 0, mode="lines+markers" if len(curve) < 30 else "lines",
                line={"color": look.colour, "width": 1.8},
                marker={"symbol": look.symbol, "size": 5},
                hovertemplate=text(str(run)) + "<br>%{x}: %{y:.4f}<extra></extra>",
            ))  # fmt: skip
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title="validation bits/dim")
    if len(data):
        # A first validation far above the rest would flatten everything that matters.
        last = data.groupby("run")["value"].last()
        low, high = float(data["value"].min()), float(data["value"].quantile(0.95))
        high = max(high, float(last.max()))
        pad = 0.05 * max(high - low, 1e-6)
        figure.update_yaxes(range=[low - pad, high + pad])
    return _finished(figure, height=380)


def text(words: str) -> str:
    """Return words for Plotly, which would read `<b>` in them as markup; long ones are cut."""
    words = words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"
    return html.escape(words, quote=False)


def _wide(se: float) -> float:
    """Return the half-length of an error bar: two standard errors."""
    return 0.0 if np.isnan(se) else 2 * float(se)


def _powers_of_ten(exponents: pd.Series) -> dict[str, object]:
    known = exponents.dropna()
    ticks = (
        list(range(int(np.floor(known.min())), int(np.ceil(known.max())) + 1)) if len(known) else []
    )
    return {
        "title": {"text": "inversion error", "side": "right"},
        "tickvals": ticks, "ticktext": [f"10<sup>{t}</sup>" for t in ticks],
        "thickness": 12, "outlinewidth": 0,
    }  # fmt: skip


def _finished(figure: go.Figure, height: int, *, legend: bool = True) -> go.Figure:
    """Lay a figure out; ink and lines take their colours from the page, light or dark."""
    figure.update_layout(
        template="none", height=height, showlegend=legend, paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)", margin={"l": 80, "r": 20, "t": 55, "b": 50},
        font={"family": "system-ui, sans-serif", "size": 13},
        xaxis_title_font_size=13, yaxis_title_font_size=13,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )  # fmt: skip
    figure.update_xaxes(showgrid=True, zeroline=False, automargin=True)
    figure.update_yaxes(showgrid=True, zeroline=False, automargin=True)
    return figure
