"""Which figures a report shows: those that the record has what they need for."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure

from flowbench.compare.ranks import Ranks
from flowbench.compare.runs import Frame
from flowbench.report import static
from flowbench.report.figures import (
    best_after_trials,
    critical_difference,
    excess_against_depth,
    excess_against_train_size,
    inversion_curve,
    learning_curves,
    likelihood,
    lipschitz_map,
    parallel_coordinates,
    parameter_importance,
    sampling_against_dimension,
    split_comparison,
    trade_off,
)
from flowbench.report.figures.trials import MOST_DRAWN
from flowbench.report.tables import Table, excerpt

STANDING_IN = 24
"""Rows of the table that stands in for a figure on paper and without scripts."""


@dataclass(frozen=True)
class Picture:
    """One figure of the page: live on the screen; on paper a still one, or its table."""

    name: str
    """Fit for a file name."""
    title: str
    caption: str
    data: pd.DataFrame
    """The tidy table that it draws."""
    live: go.Figure
    still: Figure | None = None
    wide: bool = False

    @cached_property
    def svg(self) -> bytes:
        """The still figure as SVG, empty where there is none; it is drawn once."""
        return static.svg(self.still) if self.still is not None else b""

    @property
    def table(self) -> Table | None:
        """What stands in for a figure that has no still one."""
        return None if self.still is not None else excerpt(self.data, STANDING_IN)


def of_data_set(
    frame: Frame, rows: pd.DataFrame, baselines: dict[str, float], best_after: pd.DataFrame
) -> Iterator[Picture]:
    """Yield the figures of one data set.

    Args:
        frame: all runs.
        rows: the data set's rows of the leaderboard.
        baselines: its baselines in bits/dim, by a name to show.
        best_after: from `compare.best_after.best_after_table`.
    """
    yield from _three_measures(rows, baselines)
    yield from _training(frame, rows)
    data = best_after_trials.best_after_trials_data(best_after, rows)
    if len(data):
        yield Picture(
            "best-after-trials", "Which family wins at which budget",
            "Best validation bits/dim to expect of the first k trials, with its 95 % interval over"
            " resampled trials.",
            data, best_after_trials.best_after_trials_figure(data),
        )  # fmt: skip
    yield from _hyperparameters(frame, rows)


def across(frame: Frame, table: pd.DataFrame, ranks: Ranks) -> Iterator[Picture]:
    """Yield the figures over all data sets.

    Args:
        frame: all runs.
        table: the whole leaderboard.
        ranks: from `compare.ranks.average_ranks`.
    """
    if ranks.groups or ranks.critical_difference > 0:
        data = critical_difference.critical_difference_data(ranks)
        yield Picture(
            "critical-difference", "Average ranks",
            "Families under one bar are not told apart: their average ranks differ by less than"
            f" Nemenyi's critical difference at 0.05 (Friedman's p = {ranks.p:.2g}).",
            data, critical_difference.critical_difference_figure(data),
        )  # fmt: skip
    data = sampling_against_dimension.sampling_against_dimension_data(table)
    if data["dimensions"].nunique() > 1:
        yield Picture(
            "sampling-against-dimension", "Sampling time against the number of dimensions",
            f"All on {data['device'].iloc[0] or 'the same device'}; each at its own data set, so"
            " models differ in size too.",
            data, sampling_against_dimension.sampling_against_dimension_figure(data),
        )  # fmt: skip
    data = excess_against_train_size.excess_against_train_size_data(frame.runs, table)
    if len(data):
        yield Picture(
            "excess-against-train-size", "Excess over the entropy against the training set's size",
            "Mean of log p - log q on held-out points, with two standard errors.",
            data, excess_against_train_size.excess_against_train_size_figure(data),
        )  # fmt: skip


def _three_measures(rows: pd.DataFrame, baselines: dict[str, float]) -> Iterator[Picture]:
    data = likelihood.likelihood_data(rows)
    yield Picture(
        "likelihood", "How well it models the data",
        "Bars are two standard errors to each side. "
        + ("More is better." if data["measure"].iloc[0] == "gain" else "Less is better."),
        data, likelihood.likelihood_figure(data, baselines),
        static.likelihood_static(data, baselines),
    )  # fmt: skip
    data = trade_off.trade_off_data(rows)
    if len(data):
        yield Picture(
            "trade-off", "Likelihood against sampling speed",
            "Colour is the largest inversion error; dark is more exact. The dashed line joins the"
            " Pareto front: no other family is better in both.",
            data, trade_off.trade_off_figure(data), static.trade_off_static(data),
        )  # fmt: skip


def _training(frame: Frame, rows: pd.DataFrame) -> Iterator[Picture]:
    data = learning_curves.learning_curves_data(frame, rows)
    if len(data):
        yield Picture(
            "curves", "Learning curves",
            "Validation bits/dim of the runs that the leaderboard quotes, one line a seed.",
            data, learning_curves.learning_curves_figure(data),
            static.learning_curves_static(data), wide=True,
        )  # fmt: skip
    data = inversion_curve.inversion_curve_data(frame, rows)
    if len(data):
        yield Picture(
            "inversion-curve", "Inversion error against iterations",
            "Every fixed point cut off after so many iterations, in double precision. The dotted"
            " line is the a-priori bound L^k / (1 - L) of one block, for a first step of length"
            " one.",
            data, inversion_curve.inversion_curve_figure(data),
        )  # fmt: skip


def _hyperparameters(frame: Frame, rows: pd.DataFrame) -> Iterator[Picture]:
    data = lipschitz_map.lipschitz_map_data(frame.runs, rows)
    if data["lipschitz"].nunique() > 1:
        yield Picture(
            "lipschitz-map", "Lipschitz constant and depth",
            "Every finished trial, on validation points; dark is low, which is better."
            " Evaluations: of a block's branch, for its inverse.",
            data, lipschitz_map.lipschitz_map_figure(data), static.lipschitz_map_static(data),
            wide=True,
        )  # fmt: skip
    data = split_comparison.split_comparison_data(frame.runs, rows)
    if len(data):
        yield Picture(
            "splits", "Coupling splits",
            "Every finished trial; the best of each split is large. Trials differ in more than the"
            " split; one part: couplings that never move the first.",
            data, split_comparison.split_comparison_figure(data),
        )  # fmt: skip
    data = excess_against_depth.excess_against_depth_data(frame.runs, rows)
    if len(data):
        yield Picture(
            "excess-against-depth", "Excess over the entropy against depth",
            "The best trial of each depth, on validation points, with two standard errors."
            f"{_budgets(rows)}",
            data, excess_against_depth.excess_against_depth_figure(data),
        )  # fmt: skip
    data = parallel_coordinates.parallel_coordinates_data(frame.runs, rows)
    if data["axis"].nunique() > 1:
        yield Picture(
            "parallel-coordinates", "Every trial of the search",
            "A line a trial over the hyperparameters that all families searched, the best fifth of"
            f" each family bold. Of more than {MOST_DRAWN} of a family, even steps are drawn.",
            data, parallel_coordinates.parallel_coordinates_figure(data), wide=True,
        )  # fmt: skip
    data = parameter_importance.parameter_importance_data(frame.runs, rows)
    if len(data):
        yield Picture(
            "importance", "Which hyperparameters mattered",
            "Share of the error that shuffling each adds to a random forest of the family's"
            " trials.",
            data, parameter_importance.parameter_importance_figure(data), wide=True,
        )  # fmt: skip


def _budgets(rows: pd.DataFrame) -> str:
    """Say what a trial was given: in the same seconds a deeper flow takes fewer steps."""
    known = sorted(set(rows["budget"]) - {""})
    return f" Each had {' or '.join(known)} of training." if known else ""
