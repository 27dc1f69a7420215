"""Every trial of a search as a line over its hyperparameters, one axis each, to what it reached."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from flowbench.report.figures.layout import finished, text
from flowbench.report.figures.trials import (
    MERIT,
    finished_trials,
    gap,
    searched,
    short,
    thinned,
    valued,
)
from flowbench.report.theme import looks

WIDE = 20.0
"""Largest over smallest value from which an axis is logarithmic."""
CATEGORIES = 8
"""Words that an axis names; of more it names the first and the last."""
BEST = 0.2
"""Share of a family's trials that are drawn boldly."""


def parallel_coordinates_data(
    runs: pd.DataFrame, rows: pd.DataFrame, family: str | None = None
) -> pd.DataFrame:
    """Return `family run axis value position bits_per_dim best`, a row a trial and axis.

    The axes of several families are the hyperparameters that all of them searched; those of one
    family all of its own. `position` is the value's place between the ends of its axis, 0 to 1;
    the last axis is the validation bits/dim.

    Args:
        runs: all runs.
        rows: the data set's rows of the leaderboard.
        family: one of its families; None for all that searched.
    """
    trials = finished_trials(runs, rows)
    if family is not None:
        trials = trials[trials["family"] == family]
    spaces = {name: searched(mine) for name, mine in trials.groupby("family")}
    spaces = {name: space for name, space in spaces.items() if space}
    trials = trials[trials["family"].isin(list(spaces))]
    shared = [c for c in trials if spaces and all(c in space for space in spaces.values())]
    cut = trials.groupby("family")[MERIT].transform(lambda merit: merit.quantile(BEST))
    trials = trials.assign(best=trials[MERIT] <= cut)
    parts = [
        pd.DataFrame({
            "family": trials["family"], "run": trials["run"],
            "axis": short(str(column)) if column != MERIT else "bits/dim",
            "value": trials[column].astype(str), "position": _positions(trials[column]),
            "bits_per_dim": trials[MERIT], "best": trials["best"],
        })
        for column in (*shared, MERIT)
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True).dropna(subset=["position"]).reset_index(drop=True)


def _positions(values: pd.Series) -> pd.Series:
    """Place values on an axis from 0 to 1: numbers by size, words in alphabetical order."""
    known = valued(values.dropna())
    if not pd.api.types.is_numeric_dtype(known):
        words = sorted(set(known))
        known = known.map({word: float(i) for i, word in enumerate(words)})
    else:
        known = known.map(_scale(known, lipschitz=short(str(values.name)) == "lipschitz"))
    low, high = known.min(), known.max()
    placed = (known - low) / (high - low) if high > low else known * 0 + 0.5
    return placed.reindex(values.index)


def _scale(values: pd.Series, *, lipschitz: bool) -> Callable[[float], float]:
    if lipschitz:
        return gap
    wide = bool((values > 0).all()) and values.max() > WIDE * values.min()
    return math.log if wide else float


def parallel_coordinates_figure(data: pd.DataFrame) -> go.Figure:
    """Draw a line a trial, coloured by family; the best fifth of each family is bold.

    All lines of a family are one trace of SVG: Plotly's own kind needs WebGL.
    """
    figure = go.Figure()
    axes = list(dict.fromkeys(data["axis"]))
    ends = data
    few = thinned(data.drop_duplicates("run"), ["family"])
    data = data[data["run"].isin(few["run"])]
    place = {axis: i for i, axis in enumerate(axes)}
    for family, look in looks(data["family"]).items():
        for best in (False, True):
            mine = data[(data["family"] == family) & (data["best"] == best)]
            x, y = _lines(mine, axes)
            figure.add_trace(go.Scatter(
                x=x, y=y, mode="lines", name=text(family), legendgroup=text(family),
                showlegend=best, opacity=0.9 if best else 0.2,
                line={"color": look.colour, "width": 1.6 if best else 1}, hoverinfo="skip",
            ))  # fmt: skip
    for axis, i in place.items():
        figure.add_vline(x=i, line={"width": 1, "color": "#808890"})
        for label, position in _ends(ends[ends["axis"] == axis]).items():
            figure.add_annotation(
                x=i, y=position, text=text(label), showarrow=False, xshift=4, xanchor="left",
                font={"size": 11}, yshift=0 if 0 < position < 1 else 8 * (2 * position - 1),
            )  # fmt: skip
    names = [text(axis.replace("_", " ")) for axis in axes]
    finished(figure, height=420)
    figure.update_xaxes(
        tickvals=list(place.values()), ticktext=names, range=[-0.1, len(axes) - 0.6],
        showgrid=False,
    )  # fmt: skip
    return figure.update_yaxes(visible=False, range=[-0.1, 1.1])


def _lines(data: pd.DataFrame, axes: list[str]) -> tuple[list[float | None], list[float | None]]:
    """Return one path through all trials, lifted between two of them."""
    places = data.pivot_table(index="run", columns="axis", values="position", sort=False)
    y = places.reindex(columns=axes).to_numpy(float)
    x = np.where(np.isnan(y), np.nan, np.arange(len(axes)))
    known = np.pad(~np.isnan(y), ((0, 0), (0, 1)), constant_values=True)
    path = (np.pad(way, ((0, 0), (0, 1)), constant_values=np.nan)[known] for way in (x, y))
    x_path, y_path = ([None if np.isnan(v) else round(float(v), 4) for v in way] for way in path)
    return x_path, y_path


def _ends(axis: pd.DataFrame) -> dict[str, float]:
    """Return what an axis is labelled with, and where: its words, or its smallest and largest."""
    marks = axis.drop_duplicates("value").sort_values("position")
    numeric = pd.to_numeric(marks["value"], errors="coerce").notna().all()
    if numeric or len(marks) > CATEGORIES:
        marks = marks.iloc[[0, -1]]
    labels = [f"{float(v):.4g}" if numeric else str(v) for v in marks["value"]]
    return dict(zip(labels, marks["position"], strict=True))
