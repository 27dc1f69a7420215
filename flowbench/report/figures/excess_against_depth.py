"""The exact excess over the entropy against depth, on densities whose entropy is known."""

import pandas as pd
import plotly.graph_objects as go

from flowbench.report.figures.layout import finished, text, two_errors
from flowbench.report.figures.trials import finished_trials, with_parameter
from flowbench.report.theme import looks

EXCESS = "val/excess_over_entropy"


def excess_against_depth_data(runs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return `family depth excess se runs`: the best trial of each depth, in nats a point.

    Args:
        runs: all runs.
        rows: the data set's rows of the leaderboard.
    """
    trials = with_parameter(finished_trials(runs, rows), "family.depth")
    trials = trials[trials[EXCESS].notna()].rename(columns={EXCESS: "excess", f"{EXCESS}_se": "se"})
    places = trials.groupby(["family", "depth"])
    best = trials.loc[places["excess"].idxmin()].assign(
        runs=places["excess"].transform("size").astype(int)
    )
    columns = ["family", "depth", "excess", "se", "runs"]
    data = best[columns].sort_values(["family", "depth"], ignore_index=True)
    return data[data.groupby("family")["depth"].transform("nunique") > 1].reset_index(drop=True)


def excess_against_depth_figure(data: pd.DataFrame) -> go.Figure:
    """Draw a line a family through the best of each depth, with two standard errors."""
    figure = go.Figure()
    for family, look in looks(data["family"]).items():
        mine = data[data["family"] == family]
        figure.add_trace(go.Scatter(
            x=mine["depth"], y=mine["excess"], mode="lines+markers", name=text(family),
            error_y={"type": "data", "array": mine["se"].map(two_errors), "thickness": 1.2},
            line={"color": look.colour, "width": 1.6},
            marker={"color": look.colour, "symbol": look.symbol, "size": 8},
            customdata=mine[["runs"]].to_numpy(),
            hovertemplate="depth %{x}: %{y:.4f} nats, best of %{customdata[0]}<extra></extra>",
        ))  # fmt: skip
    figure.update_xaxes(title="depth", rangemode="tozero")
    figure.update_yaxes(title="excess over the entropy (nats)", rangemode="tozero")
    return finished(figure, height=400)
