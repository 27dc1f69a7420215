"""Bits/dim against the Lipschitz constant and the depth of residual flows."""

import pandas as pd
import plotly.graph_objects as go

from flowbench.report.figures.layout import finished
from flowbench.report.figures.trials import MERIT, finished_trials, gap, with_parameter

TICKS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


def lipschitz_map_data(runs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return `family lipschitz depth bits_per_dim runs` of one data set's trials.

    Trials of one place are averaged; `runs` counts them.

    Args:
        runs: all runs.
        rows: the data set's rows of the leaderboard.
    """
    trials = with_parameter(finished_trials(runs, rows), "family.lipschitz")
    trials = with_parameter(trials, "family.depth")
    places = trials.groupby(["family", "lipschitz", "depth"], as_index=False)
    return places.agg(bits_per_dim=(MERIT, "mean"), runs=(MERIT, "size"))


def lipschitz_map_figure(data: pd.DataFrame) -> go.Figure:
    """Draw a square a place, coloured by bits/dim; the axis of L is even in log(1 - L)."""
    figure = go.Figure(go.Scatter(
        x=data["lipschitz"].map(gap), y=data["depth"], mode="markers", showlegend=False,
        marker={
            "symbol": "square", "size": 18, "color": data["bits_per_dim"],
            "coloraxis": "coloraxis", "line": {"width": 1, "color": "#808890"},
        },
        customdata=data[["lipschitz", "bits_per_dim", "runs"]].to_numpy(),
        hovertemplate="L = %{customdata[0]:.3f}, depth %{y}<br>%{customdata[1]:.4f} bits/dim"
        "<br>%{customdata[2]} runs<extra></extra>",
    ))  # fmt: skip
    figure.update_layout(coloraxis={
        "colorscale": "Viridis",
        "colorbar": {
            "title": {"text": "validation bits/dim", "side": "right", "font": {"size": 13}},
            "thickness": 12, "outlinewidth": 0,
        },
    })  # fmt: skip
    ticks = lipschitz_ticks(data)
    figure.update_xaxes(
        title="Lipschitz bound L of a block (even in log(1 - L))",
        tickvals=[gap(tick) for tick in ticks], ticktext=[f"{tick:g}" for tick in ticks],
    )  # fmt: skip
    figure.update_yaxes(title="depth (blocks)", dtick=max(1, round(data["depth"].max() / 8)))
    return finished(figure, height=400, legend=False)


def lipschitz_ticks(data: pd.DataFrame) -> list[float]:
    """Return the round constants that lie within the axis, the ends of the data where none does."""
    low, high = float(data["lipschitz"].min()), float(data["lipschitz"].max())
    inside = [tick for tick in TICKS if gap(low) - 0.1 <= gap(tick) <= gap(high) + 0.1]
    return inside or [low, high]
