"""How the coupling split matters: bits/dim by split, family by family."""

import pandas as pd
import plotly.graph_objects as go

from flowbench.report.figures.layout import finished, text
from flowbench.report.figures.trials import MERIT, PREFIX, finished_trials, thinned, with_parameter
from flowbench.report.theme import looks

ALTERNATE = PREFIX + "family.alternate"


def split_comparison_data(runs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return `family split bits_per_dim run best`, of families that were tried with several splits.

    A split whose couplings never move the first part counts as another one.

    Args:
        runs: all runs.
        rows: the data set's rows of the leaderboard.
    """
    trials = with_parameter(finished_trials(runs, rows), "family.split")
    if ALTERNATE in trials:
        fixed = trials[ALTERNATE] == "False"
        one_part = trials["split"].map("{}, one part".format)
        trials["split"] = trials["split"].where(~fixed, one_part)
    data = trials[["family", "split", MERIT, "run"]].rename(columns={MERIT: "bits_per_dim"})
    tried = data.groupby("family")["split"].transform("nunique")
    data = data[tried > 1].sort_values(["family", "split", "bits_per_dim"], ignore_index=True)
    return data.assign(best=~data.duplicated(["family", "split"]))


def split_comparison_figure(data: pd.DataFrame) -> go.Figure:
    """Draw a dot a trial, side by side by family; the best of each split is large."""
    figure = go.Figure()
    data = thinned(data, ["family", "split"])
    for family, look in looks(data["family"]).items():
        for best in (False, True):
            mine = data[(data["family"] == family) & (data["best"] == best)]
            figure.add_trace(go.Scatter(
                x=mine["split"].map(text), y=mine["bits_per_dim"], mode="markers",
                name=text(family), legendgroup=text(family), showlegend=best,
                offsetgroup=text(family), opacity=1 if best else 0.45,
                marker={"color": look.colour, "symbol": look.symbol, "size": 12 if best else 6},
                customdata=mine[["run"]].map(text).to_numpy(),
                hovertemplate="%{x}: %{y:.4f}<br>%{customdata[0]}<extra></extra>",
            ))  # fmt: skip
    figure.update_layout(scattermode="group", scattergap=0.5)
    figure.update_xaxes(title="coupling split", type="category")
    low, high = float(data["bits_per_dim"].min()), float(data["bits_per_dim"].max())
    pad = 0.05 * max(high - low, 1e-6)
    figure.update_yaxes(title="validation bits/dim", range=[low - pad, high + pad])
    return finished(figure, height=400)
