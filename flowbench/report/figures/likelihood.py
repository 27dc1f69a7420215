"""The leaderboard as a figure: the measure of the rank, family by family."""

import math

import pandas as pd
import plotly.graph_objects as go

from flowbench.report.figures.layout import MEASURES, finished, text, two_errors
from flowbench.report.theme import looks


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
            error_x={
                "type": "data", "array": [two_errors(row["se"])], "thickness": 1.6, "width": 5,
            },
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
    return finished(figure, height=max(420, 130 + 34 * len(data)), legend=False)


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
