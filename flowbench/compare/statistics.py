"""Means, paired differences and the Pareto front."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error, in the unit of what was averaged."""

    mean: float
    se: float


def seed_mean(values: ArrayLike, point_errors: ArrayLike) -> Estimate:
    """Average a measure over seeds.

    The test points are the same for every seed, so their sampling error does not shrink as seeds
    are added, while the scatter of the seeds does:
    `se^2 = var(values) / n + mean(point_errors^2)`. The scatter of the seeds already holds their
    own share of the points' noise, so the error is a little too wide, never too narrow. A single
    seed says nothing of its scatter: its error is that of the points alone.

    Args:
        values: one value a seed, `(n,)`.
        point_errors: the standard error over the points of each value, `(n,)`; NaN where unknown.

    Returns:
        The mean and its error; the error is NaN where neither scatter nor point error is known.
    """
    x, errors = np.asarray(values, float), np.asarray(point_errors, float)
    known = errors[~np.isnan(errors)]
    parts = [float(np.mean(known**2))] if known.size else []
    if x.size > 1:
        parts.append(float(np.var(x, ddof=1)) / x.size)
    return Estimate(float(np.mean(x)), math.sqrt(sum(parts)) if parts else math.nan)


def paired_difference(ours: pd.DataFrame, theirs: pd.DataFrame) -> Estimate:
    """Compare two families on the points that both were scored on.

    Each family's log density of a point is first averaged over its seeds; the difference is then
    taken point by point, so that what makes a point hard for both cancels:
    `se^2 = var(d) / N + var(seeds of ours) / n + var(seeds of theirs) / m`.

    Args:
        ours: log densities in nats: a row a test point (indexed by its row number), a column a
            seed.
        theirs: the same for the other family.

    Returns:
        Mean of ours minus theirs, in nats a point; both NaN where no points are shared.
    """
    shared = ours.index.intersection(theirs.index)
    a, b = ours.loc[shared], theirs.loc[shared]
    if len(shared) == 0:
        return Estimate(math.nan, math.nan)
    difference = a.mean(axis=1) - b.mean(axis=1)
    variance = float(difference.var(ddof=1)) / len(shared) if len(shared) > 1 else math.nan
    for side in (a, b):
        if side.shape[1] > 1:
            variance += float(side.mean(axis=0).var(ddof=1)) / side.shape[1]
    return Estimate(float(difference.mean()), math.sqrt(variance))


def pareto_front(
    objectives: Mapping[str, ArrayLike], lower: Mapping[str, bool]
) -> NDArray[np.bool_]:
    """Mark the points that no other point beats.

    A point is beaten by one that is at least as good in every objective and better in one. A
    point with a NaN is on no front and beats nobody.

    Args:
        objectives: name -> values, each `(n,)`.
        lower: name -> whether small values of it are good.

    Returns:
        True for the points of the front, `(n,)`.
    """
    columns = [np.asarray(v, float) * (1 if lower[k] else -1) for k, v in objectives.items()]
    points = np.stack(columns, axis=1)
    known: NDArray[np.bool_] = ~np.isnan(points).any(axis=1)
    front = known.copy()
    for i in np.flatnonzero(known):
        others = points[known]
        beaten = (others <= points[i]).all(axis=1) & (others < points[i]).any(axis=1)
        front[i] = not beaten.any()
    return front
