"""Every pair of families on one data set: how far apart they are, and whether that is sure."""

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pandas as pd

from flowbench.compare.runs import LN2, PROTOCOL, Frame
from flowbench.compare.statistics import UNKNOWN, Estimate, holm, p_value, paired_difference

SEEDS_FOR_A_TEST = 5
"""Below, no test: a few seeds say too little of their own scatter."""
SIGNIFICANT = 0.05

COLUMNS = [
    *PROTOCOL, "family", "other", "difference", "se", "low", "high", "df", "seeds", "p", "p_holm",
    "verdict",
]  # fmt: skip

Points = Mapping[str, pd.DataFrame | None]
"""For each family its log densities, a row a test point and a column a seed."""


def differences_table(frame: Frame, table: pd.DataFrame) -> pd.DataFrame:
    """Compare every two ranked families of each data set on the same test points.

    Args:
        frame: all runs.
        table: the leaderboard made of them.

    Returns:
        A row a pair, the better family first; columns `data`, `data_hash`, `preprocess` and

        * `family`, `other`: the better one, and the one behind it;
        * `difference`, `se`, `low`, `high`: bits/dim by which the other is behind, paired point by
          point, with its standard error and 95 % interval (`statistics.paired_difference`); NaN
          error where a run kept no points;
        * `df`: degrees of freedom of the error;
        * `seeds`: the fewer of both families' seeds;
        * `p`, `p_holm`: of a t-test, and corrected by Holm's method for all pairs of the data set;
          NaN below five seeds: no test;
        * `verdict`: `different` (p_holm < 0.05), `not told apart`, or `not tested`.
    """
    found = [
        compared(rows, points_of(frame, rows)) for _, rows in table.groupby(PROTOCOL, sort=True)
    ]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=COLUMNS)


def points_of(frame: Frame, rows: pd.DataFrame) -> Points:
    """Return each family's log densities of the test points."""
    return {row["family"]: frame.points(row["run_ids"]) for row in rows.to_dict("records")}


def compared(rows: pd.DataFrame, points: Points) -> pd.DataFrame:
    """Compare the ranked families of one data set, see `differences_table`.

    Holm's correction is over all pairs, so that it holds for whichever pair is looked at
    afterwards: the best and its rivals are known from the same numbers.

    Args:
        rows: the data set's rows of the leaderboard, best first.
        points: their log densities.
    """
    ranked = rows[rows["rank"].notna()].to_dict("records")
    pairs = [_pair(a, b, points) for a, b in combinations(ranked, 2)]
    if not pairs:
        return pd.DataFrame(columns=COLUMNS)
    found = pd.DataFrame(pairs)
    found["p_holm"] = holm(found["p"].to_numpy())
    found["verdict"] = [_verdict(p) for p in found["p_holm"]]
    return found


def _pair(a: Mapping[Any, Any], b: Mapping[Any, Any], points: Points) -> dict[str, Any]:
    estimate = _difference(a, b, points)
    seeds = int(min(a["seeds"], b["seeds"]))
    return {
        **{key: a[key] for key in PROTOCOL},
        "family": a["family"], "other": b["family"], "difference": estimate.mean,
        "se": estimate.se, "low": estimate.low, "high": estimate.high, "df": estimate.df,
        "seeds": seeds, "p": p_value(estimate) if seeds >= SEEDS_FOR_A_TEST else math.nan,
    }  # fmt: skip


def _difference(a: Mapping[Any, Any], b: Mapping[Any, Any], points: Points) -> Estimate:
    """Return by how many bits/dim the second is behind the first."""
    ours, theirs = points[a["family"]], points[b["family"]]
    if ours is None or theirs is None:
        return Estimate(b["bits_per_dim"] - a["bits_per_dim"], math.nan, math.nan)
    nats = paired_difference(ours, theirs)
    return nats.times(1 / (a["dimensions"] * LN2)) if nats is not UNKNOWN else UNKNOWN


def _verdict(p: float) -> str:
    if math.isnan(p):
        return "not tested"
    return "different" if p < SIGNIFICANT else "not told apart"
