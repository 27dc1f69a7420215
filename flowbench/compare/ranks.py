"""Families over several data sets: average ranks, Friedman's test and the critical difference."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

DATA_SETS_FOR_A_TEST = 5
"""Below, ranks are shown without a test."""
ALPHA = 0.05


@dataclass(frozen=True)
class Ranks:
    """What a critical-difference diagram draws (Demsar, "Statistical comparisons of classifiers
    over multiple data sets", JMLR 2006)."""  # noqa: D205, D209 - the reference needs the room

    families: tuple[str, ...]
    """The best average rank first."""
    average: tuple[float, ...]
    """Rank of each, averaged over the data sets; 1 is best, ties share."""
    data_sets: tuple[str, ...]
    """Those that every one of the families has a rank on."""
    friedman: float
    """Friedman's chi-squared, corrected for ties; NaN below five data sets."""
    p: float
    """Of the hypothesis that all families are alike; NaN below five data sets."""
    critical_difference: float
    """Nemenyi's: average ranks closer than this are not told apart at 0.05; NaN below five."""
    groups: tuple[tuple[str, ...], ...]
    """Families that are not told apart, the longest chains only, as the diagram's bars."""
    left_out: tuple[str, ...]
    """Families and data sets without a complete row, which the ranks do without."""

    @property
    def table(self) -> pd.DataFrame:
        """Columns `family`, `average_rank`, `data_sets`; the best first."""
        return pd.DataFrame({
            "family": self.families, "average_rank": self.average,
            "data_sets": len(self.data_sets),
        })  # fmt: skip


def average_ranks(table: pd.DataFrame) -> Ranks:
    """Rank the families over the data sets of the leaderboard.

    Where a family lacks a data set, whichever of families and data sets lacks the most is left
    out until no cell is missing. Of a data set with several protocols the one with the most
    families counts.

    Args:
        table: the leaderboard.
    """
    merit = _complete(_merits(table))
    left_out = sorted((set(table["family"]) | set(table["data"])) - {*merit.index, *merit.columns})
    ranks = merit.rank(axis=1, ascending=False)
    average = ranks.mean().sort_values(kind="stable")
    n, k = ranks.shape
    families, values = tuple(map(str, average.index)), tuple(map(float, average))
    if n < DATA_SETS_FOR_A_TEST or k < 2:
        return Ranks(
            families, values, tuple(map(str, merit.index)), math.nan, math.nan, math.nan, (),
            tuple(left_out),
        )  # fmt: skip
    statistic, p = friedman(ranks.to_numpy())
    critical = critical_difference(k, n)
    return Ranks(
        families, values, tuple(map(str, merit.index)), statistic, p, critical,
        _groups(families, values, critical), tuple(left_out),
    )  # fmt: skip


def friedman(ranks: np.ndarray) -> tuple[float, float]:
    """Test whether families that are ranked on several data sets are alike.

    Args:
        ranks: `(data sets, families)`, ties sharing their mean rank.

    Returns:
        Friedman's chi-squared, corrected for ties, and its p with k - 1 degrees of freedom;
        `(0, 1)` where every family ties on every data set.
    """
    n, k = ranks.shape
    about = float(np.square(ranks - (k + 1) / 2).sum())
    if about == 0:
        return 0.0, 1.0
    statistic = (k - 1) * float(np.square(ranks.sum(axis=0) - n * (k + 1) / 2).sum()) / about
    return statistic, float(stats.chi2.sf(statistic, k - 1))


def critical_difference(families: int, data_sets: int, alpha: float = ALPHA) -> float:
    """Return Nemenyi's critical difference of average ranks: `q sqrt(k (k + 1) / (6 N))`.

    q is the studentised range's quantile for k groups and infinite degrees of freedom over the
    square root of 2: 1.960 for two families, 2.850 for six (Demsar 2006, Table 5a).
    """
    q = float(stats.studentized_range.ppf(1 - alpha, families, math.inf)) / math.sqrt(2)
    return q * math.sqrt(families * (families + 1) / (6 * data_sets))


def _merits(table: pd.DataFrame) -> pd.DataFrame:
    """Return the measure of the rank, high is good: a row a data set, a column a family."""
    ranked = table[table["rank"].notna()] if len(table) else table
    if not len(ranked):
        return pd.DataFrame()
    counts = ranked.groupby(["data", "data_hash", "preprocess"]).size()
    widest = counts.groupby("data").idxmax()
    chosen = ranked.set_index(["data", "data_hash", "preprocess"]).loc[list(widest)].reset_index()
    return chosen.pivot_table(index="data", columns="family", values="merit")


def _complete(merit: pd.DataFrame) -> pd.DataFrame:
    """Leave families or data sets out, the emptiest first, until no cell is missing."""
    while merit.isna().to_numpy().any():
        by_data, by_family = merit.isna().mean(axis=1), merit.isna().mean(axis=0)
        if by_data.max() > by_family.max():
            merit = merit.drop(index=by_data.idxmax())
        else:
            merit = merit.drop(columns=by_family.idxmax())
    return merit


def _groups(
    families: tuple[str, ...], average: tuple[float, ...], critical: float
) -> tuple[tuple[str, ...], ...]:
    """Return the longest chains of families whose ends are closer than the critical difference."""
    reach = [
        max(j for j in range(i, len(average)) if average[j] - average[i] < critical)
        for i in range(len(average))
    ]
    # A chain that ends where the one before it ended lies within that one.
    longest = [0, *(i for i, (before, here) in enumerate(pairwise(reach), 1) if here > before)]
    return tuple(families[i : reach[i] + 1] for i in longest if reach[i] > i)
