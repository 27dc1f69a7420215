"""The best validation bits/dim to expect after k trials: which family wins at which budget."""

import pandas as pd
import plotly.graph_objects as go

from flowbench.compare.runs import PROTOCOL
from flowbench.report.figures.layout import finished, text
from flowbench.report.theme import looks

FEWEST = 3
"""Trials below which there is no curve to draw."""


def best_after_trials_data(best_after: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return `family trials expected low high wins unit spent device_seconds` of one data set.

    Of several sweeps the one with the most trials is taken: budgets of different searches are not
    the same.

    Args:
        best_after: from `compare.best_after.best_after_table`.
        rows: the data set's rows of the leaderboard.
    """
    here = best_after[(best_after[PROTOCOL] == rows[PROTOCOL].iloc[0]).all(axis=1)]
    sweeps = here["sweep"].value_counts()
    cell = here[here["sweep"].isin(sweeps.index[:1])]
    data = cell.drop(columns=[*PROTOCOL, "sweep"]).reset_index(drop=True)
    return data if len(data) and data["trials"].max() >= FEWEST else data.iloc[:0]


def best_after_trials_figure(data: pd.DataFrame) -> go.Figure:
    """Draw a line a family inside the band of its 95 % interval."""
    figure = go.Figure()
    for family, look in looks(data["family"]).items():
        mine = data[data["family"] == family].sort_values("trials")
        figure.add_trace(go.Scatter(
            x=[*mine["trials"], *mine["trials"][::-1]], y=[*mine["low"], *mine["high"][::-1]],
            fill="toself", fillcolor=look.colour, opacity=0.08, line={"width": 0},
            mode="lines", hoverinfo="skip", legendgroup=text(family), showlegend=False,
            name=text(family),
        ))  # fmt: skip
        figure.add_trace(go.Scatter(
            x=mine["trials"], y=mine["expected"], name=text(family), legendgroup=text(family),
            mode="lines+markers" if len(mine) < 30 else "lines",
            line={"color": look.colour, "width": 1.8}, marker={"symbol": look.symbol, "size": 6},
            customdata=mine[["spent", "wins"]].to_numpy(),
            hovertemplate=f"{text(family)}, %{{x}} trials (%{{customdata[0]:,.4g}} "
            + str(mine["unit"].iloc[0]).replace("_", "-")
            + "): %{y:.4f}<br>best of all in %{customdata[1]:.0%}<extra></extra>",
        ))  # fmt: skip
    figure.update_xaxes(title="trials", rangemode="tozero")
    figure.update_yaxes(title="expected best validation bits/dim")
    if len(data):
        # The worst of one trial would flatten where the lines end.
        low, high = float(data["low"].min()), float(data["expected"].quantile(0.95))
        pad = 0.05 * max(high - low, 1e-6)
        figure.update_yaxes(range=[low - pad, high + pad])
    return finished(figure, height=400)
