"""Which family wins at which budget: the expected best of the first k trials of a search."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flowbench.compare.runs import PROTOCOL, Frame
from flowbench.compare.statistics import LEVEL

CELL = [*PROTOCOL, "sweep"]
RESAMPLES = 2000
READ = [
    *CELL, "family", "stage", "outcome", "val/bits_per_dim", "budget_unit", "epochs",
    "device_seconds",
]  # fmt: skip
COLUMNS = [
    *CELL, "family", "trials", "expected", "low", "high", "wins", "unit", "spent", "device_seconds"
]  # fmt: skip


def best_after_table(frame: Frame, resamples: int = RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """Return for each family the best validation bits/dim to expect of k trials.

    Trials that failed count: they are as bad as the worst that completed. A pruned trial counts
    with the value that it had reached.

    Args:
        frame: all runs; the tuning trials of each sweep are used.
        resamples: bootstrap samples behind `low`, `high` and `wins`.
        seed: of the bootstrap.

    Returns:
        A row a (data set, sweep, family, k), k from 1 to the number of its trials; columns `data`,
        `data_hash`, `preprocess`, `sweep`, `family` and

        * `trials`: k;
        * `expected`: mean over all choices of k trials of the best validation bits/dim among them
          (`expected_best`);
        * `low`, `high`: the 95 % percentile interval of `expected` over resampled trials. No end
          of it is better than the best trial seen: of a few trials, trust its upper end;
        * `wins`: the share of the resamples in which this family is the best of all after k trials
          (those with as many); ties are shared;
        * `unit`, `spent`: what k trials took on average, in the unit of the budget (`epochs` or
          `device_seconds`); `device_seconds`: the same always in device-seconds.
    """
    found = [
        table
        for _, cell in _tuning(frame.runs.reindex(columns=READ)).groupby(CELL, sort=True)
        if len(table := _cell(cell, resamples, np.random.default_rng(seed)))
    ]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=COLUMNS)


def winners_table(best_after: pd.DataFrame) -> pd.DataFrame:
    """Return who wins at which budget.

    Args:
        best_after: from `best_after_table`.

    Returns:
        A row a (data set, sweep) and stretch of k with the same best family; columns of the cell,
        `family`, `first`, `last` (the least and the most trials of the stretch), `expected` and
        `wins` (both at its end), `unit` and `spent` (at its end).
    """
    columns = [*CELL, "family", "first", "last", "expected", "wins", "unit", "spent"]
    found = []
    for _, cell in best_after.groupby(CELL, sort=True):
        best = cell.loc[cell.groupby("trials")["expected"].idxmin()].sort_values("trials")
        stretch = (best["family"] != best["family"].shift()).cumsum()
        for _, same in best.groupby(stretch):
            last = same.iloc[-1].to_dict()
            found.append({**last, "first": same["trials"].iloc[0], "last": last["trials"]})
    return pd.DataFrame(found, columns=columns)


def expected_best(values: ArrayLike) -> NDArray[np.float64]:
    """Return the expected smallest of k of these values, for k from 1 to their number.

    The mean over all choices of k different trials, in closed form: of sorted values the i-th is
    the smallest of a choice with probability `C(n - i, k - 1) / C(n, k)`. This is the unbiased
    form (Tang et al., "Showing your work doesn't always work", ACL 2020) of the curve of Dodge et
    al., "Show your work", EMNLP 2019, who draw with replacement. Both take trials to be
    exchangeable, as random search makes them; of a search that learns, the curve says what the
    trials would have been worth in any order.

    Args:
        values: of one family's trials, `(n,)`, small is good.

    Returns:
        `(n,)`, falling.
    """
    ordered = np.sort(np.asarray(values, float))
    curve: NDArray[np.float64] = choice_weights(ordered.size) @ ordered
    return curve


def choice_weights(n: int) -> NDArray[np.float64]:
    """Return the chance that the i-th smallest of n is the smallest of k, `(k, i)`."""
    k, i = np.arange(1, n + 1)[:, None], np.arange(1, n)
    # Each chance from the one before it: C(n - i - 1, k - 1) / C(n - i, k - 1).
    shrink = np.maximum(n - i - k + 1, 0) / (n - i)
    weights: NDArray[np.float64] = np.cumprod(np.hstack([k / n, shrink]), axis=1)
    return weights


def _tuning(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the ended tuning trials; one that failed early may not know its data's hash."""
    tuning = runs[(runs["stage"] == "tune") & (runs["outcome"] != "")]
    protocol = tuning[tuning["outcome"] == "completed"].drop_duplicates([*CELL, "family"])
    parts = [tuning[(tuning["data_hash"] != "") & (tuning["preprocess"] != "")]]
    early = tuning[~tuning.index.isin(parts[0].index)]
    # It counts where its cell has one protocol only, which it must then be of.
    cells = protocol.groupby(["data", "sweep", "family"]).filter(lambda cell: len(cell) == 1)
    known = cells[[*CELL, "family"]]
    parts.append(early.drop(columns=PROTOCOL[1:]).merge(known, on=["data", "sweep", "family"]))
    return pd.concat(parts, ignore_index=True)


def _cell(cell: pd.DataFrame, resamples: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return the curves of all families of one data set and sweep."""
    tables, curves = [], []
    for family, trials in cell.groupby("family", sort=True):
        usable = trials["outcome"].isin(["completed", "pruned"])
        values = trials["val/bits_per_dim"].where(usable)
        values = values.where(np.isfinite(values))
        if values.isna().all():
            continue
        ordered = np.sort(values.fillna(values.max()).to_numpy())
        n = len(ordered)
        weights = choice_weights(n)
        drawn = ordered[np.sort(rng.integers(0, n, (resamples, n)), axis=1)]
        resampled = drawn @ weights.T
        curves.append(resampled)
        tail = 50 * (1 - LEVEL)
        low, high = np.percentile(resampled, [tail, 100 - tail], axis=0)
        unit = str(trials["budget_unit"].iloc[0]) or "epochs"
        count = np.arange(1, n + 1)
        tables.append(pd.DataFrame({
            **{key: trials[key].iloc[0] for key in CELL}, "family": family, "trials": count,
            "expected": weights @ ordered, "low": low, "high": high, "unit": unit,
            "spent": count * _mean(trials, unit),
            "device_seconds": count * _mean(trials, "device_seconds"),
        }))  # fmt: skip
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    for table, wins in zip(tables, _wins(curves), strict=True):
        table["wins"] = wins
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _wins(curves: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Return for each family and k the share of resamples in which it is the best, ties shared."""
    longest = max(curve.shape[1] for curve in curves)
    padded = np.full((len(curves), curves[0].shape[0], longest), np.inf)
    for i, curve in enumerate(curves):
        padded[i, :, : curve.shape[1]] = curve
    best = padded == padded.min(axis=0)
    share = (best / best.sum(axis=0)).mean(axis=1)
    return [share[i, : curve.shape[1]] for i, curve in enumerate(curves)]


def _mean(trials: pd.DataFrame, name: str) -> float:
    return float(trials[name].mean())
