"""Likelihood, inverse evaluations and inversion error against Lipschitz constant and depth."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from flowbench.report.figures.layout import SMALLEST, finished
from flowbench.report.figures.trials import MERIT, finished_trials, gap, with_parameter

TICKS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)

MEASURES = {
    "excess": "val/excess_over_entropy",
    "evaluations": "inversion/evaluations_mean_at_1e-5",
    "inversion_error": "inversion/flow/xzx/max",
}
PANELS = {
    "excess": "excess (nats)",
    "bits_per_dim": "bits/dim",
    "evaluations": "evaluations to 1e-5",
    "inversion_error": "log10 inversion error",
}


def lipschitz_map_data(runs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return `family lipschitz depth bits_per_dim runs` and `MEASURES` of one data set's trials.

    Trials of one place are averaged; `runs` counts them.

    Args:
        runs: all runs.
        rows: the data set's rows of the leaderboard.
    """
    trials = with_parameter(finished_trials(runs, rows), "family.lipschitz")
    trials = with_parameter(trials, "family.depth")
    trials = trials.reindex(columns=list(dict.fromkeys([*trials.columns, *MEASURES.values()])))
    places = trials.groupby(["family", "lipschitz", "depth"], as_index=False)
    return places.agg(
        bits_per_dim=(MERIT, "mean"),
        runs=(MERIT, "size"),
        **{name: (column, "mean") for name, column in MEASURES.items()},
    )


def panels(data: pd.DataFrame) -> dict[str, pd.Series]:
    """Return what is drawn of `lipschitz_map_data`, by title: what is known of every place."""
    known = [name for name in PANELS if name in data and bool(data[name].notna().all())]
    if "excess" in known:
        known.remove("bits_per_dim")
    drawn = {name: data[name] for name in known}
    if "inversion_error" in drawn:
        drawn["inversion_error"] = np.log10(data["inversion_error"].clip(lower=SMALLEST))
    return {PANELS[name]: values for name, values in drawn.items()}


def lipschitz_map_figure(data: pd.DataFrame) -> go.Figure:
    """Draw a panel a measure, a square a place; the axis of L is even in log(1 - L)."""
    drawn = panels(data)
    figure = make_subplots(1, len(drawn), shared_yaxes=True, horizontal_spacing=0.04)
    for number, (title, values) in enumerate(drawn.items(), 1):
        low, high = figure.get_subplot(1, number).xaxis.domain
        colours = {
            "symbol": "square", "size": 18, "color": values, "colorscale": "Viridis",
            "showscale": True, "line": {"width": 1, "color": "#808890"},
            "colorbar": {
                "title": {"text": title, "side": "top", "font": {"size": 13}},
                "orientation": "h", "x": (low + high) / 2, "len": (high - low) * 1.02,
                "y": 1.02, "yanchor": "bottom", "thickness": 12, "outlinewidth": 0, "nticks": 5,
            },
        }  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=data["lipschitz"].map(gap), y=data["depth"], mode="markers",
                showlegend=False, marker=colours,
                customdata=np.column_stack([data[["lipschitz", "bits_per_dim", "runs"]], values]),
                hovertemplate="L = %{customdata[0]:.3f}, depth %{y}<br>%{customdata[3]:.4g} "
                f"{title}<br>%{{customdata[1]:.4f}} bits/dim, %{{customdata[2]}} runs"
                "<extra></extra>",
            ),
            row=1, col=number,
        )  # fmt: skip
    ticks = lipschitz_ticks(data)
    figure.update_xaxes(
        title={"text": "Lipschitz bound L", "font": {"size": 13}}, tickangle=0,
        tickvals=[gap(tick) for tick in ticks], ticktext=[f"{tick:g}" for tick in ticks],
    )  # fmt: skip
    figure.update_yaxes(dtick=max(1, round(data["depth"].max() / 8)))
    figure.update_yaxes(title="depth (blocks)", col=1)
    figure = finished(figure, height=400, legend=False)
    return figure.update_layout(margin_t=90)


def lipschitz_ticks(data: pd.DataFrame) -> list[float]:
    """Return the round constants that lie within the axis, the ends of the data where none does."""
    low, high = float(data["lipschitz"].min()), float(data["lipschitz"].max())
    inside = [tick for tick in TICKS if gap(low) - 0.1 <= gap(tick) <= gap(high) + 0.1]
    return inside or [low, high]
