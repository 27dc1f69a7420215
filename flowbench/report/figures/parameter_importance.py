"""Which hyperparameters mattered: what a model of the trials loses when one of them is shuffled."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from flowbench.report.figures.layout import finished, text
from flowbench.report.figures.trials import MERIT, finished_trials, searched, short, valued
from flowbench.report.theme import order

FEWEST = 10
"""Trials below which a model of them says nothing."""
MOST = 300
"""Trials that the model is fitted to, the newest: more change little and take long."""
TREES, SHUFFLES = 50, 10


def parameter_importance_data(runs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return `family parameter importance sd trials`, of families with ten trials or more.

    A random forest is fitted to a family's validation bits/dim; a hyperparameter's importance is
    the mean squared error that shuffling it adds (permutation importance: Breiman, Random forests,
    2001, section 10), as a share of what all of them add. What a choice leaves out (the widths of
    a network that was not chosen) counts as a value of its own.

    Args:
        runs: all runs.
        rows: the data set's rows of the leaderboard.
    """
    found = []
    for family, mine in finished_trials(runs, rows).groupby("family"):
        finite = mine[np.isfinite(mine[MERIT])].iloc[-MOST:]
        space = searched(finite)
        if len(finite) < FEWEST or not space or finite[MERIT].nunique() < 2:
            continue
        shares = _importance(finite, space).assign(family=str(family), trials=len(finite))
        found.append(shares.sort_values("importance", ascending=False))
    columns = ["family", "parameter", "importance", "sd", "trials"]
    if not found:
        return pd.DataFrame(columns=columns)
    return pd.concat(found, ignore_index=True)[columns]


def _importance(trials: pd.DataFrame, space: list[str]) -> pd.DataFrame:
    from sklearn.ensemble import RandomForestRegressor

    features = np.stack([_feature(trials[column]) for column in space], axis=1)
    merit = trials[MERIT].to_numpy(float)
    forest = RandomForestRegressor(TREES, random_state=0, min_samples_leaf=2)
    forest.fit(features, merit)
    # One prediction for all shuffles: a forest's own cost a call is that of thousands of rows.
    shuffled = np.tile(features, (len(space), SHUFFLES, 1, 1))
    generator = np.random.default_rng(0)
    for i in range(len(space)):
        for once in shuffled[i]:
            once[:, i] = generator.permutation(once[:, i])
    predicted = forest.predict(shuffled.reshape(-1, len(space))).reshape(shuffled.shape[:3])
    added = (
        np.square(predicted - merit).mean(2) - np.square(forest.predict(features) - merit).mean()
    )
    mean = added.mean(1).clip(min=0)
    total = float(mean.sum()) or 1.0
    return pd.DataFrame({
        "parameter": [short(column) for column in space], "importance": mean / total,
        "sd": added.std(1) / total,
    })  # fmt: skip


def _feature(column: pd.Series) -> NDArray[np.float64]:
    """Return a hyperparameter as ranks: a forest asks only which of two values is larger."""
    known = valued(column.dropna())
    ranks = known.rank(method="dense").reindex(column.index).fillna(0.0)
    return np.asarray(ranks, np.float64)


def parameter_importance_figure(data: pd.DataFrame) -> go.Figure:
    """Draw a cell a family and hyperparameter, its share written in it."""
    families = sorted(set(data["family"]), key=order)
    ranked = data.groupby("parameter")["importance"].max().sort_values(ascending=False)
    grid = data.pivot_table(index="family", columns="parameter", values="importance")
    grid = grid.reindex(index=families, columns=ranked.index)
    shares = grid.to_numpy(float)
    words = [["" if np.isnan(v) else f"{100 * v:.0f} %" for v in row] for row in shares]
    names = ["<br>".join(map(text, str(p).split("_"))) for p in grid.columns]
    figure = go.Figure(go.Heatmap(
        z=shares, x=names, y=[text(f) for f in families], zmin=0, zmax=1, showscale=False,
        colorscale=[[0, "rgba(0,114,178,0.05)"], [1, "rgba(0,114,178,0.75)"]],
        xgap=2, ygap=2, hoverinfo="skip",
    ))  # fmt: skip
    # Words of a heat map's own take no colour from a dark page.
    figure.add_trace(go.Scatter(
        x=names * len(families), y=[text(f) for f in families for _ in names], mode="text",
        text=[word for row in words for word in row], hoverinfo="skip", showlegend=False,
    ))  # fmt: skip
    finished(figure, height=130 + 42 * len(families), legend=False)
    figure.update_xaxes(showgrid=False, side="top")
    return figure.update_yaxes(showgrid=False, autorange="reversed")
