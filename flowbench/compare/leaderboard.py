"""The leaderboard: one row a data set and family, from the runs that deserve to be quoted."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from flowbench.compare.comparable import comparable, sampling_times
from flowbench.compare.differences import Points, compared
from flowbench.compare.joining import FULL_PREFIX
from flowbench.compare.quoted import (
    QUOTED,
    all_in_full,
    inversion,
    labels,
    likelihood,
    speed,
    words,
)
from flowbench.compare.runs import PROTOCOL, Frame
from flowbench.compare.statistics import pareto_front

TUNED_ON = "validation (tuned on)"


@dataclass(frozen=True)
class _Cell:
    """One family on one data set."""

    family: str
    split: str
    quoted: pd.DataFrame
    """The runs that stand for it."""
    everything: pd.DataFrame
    """All of its runs."""


def leaderboard_table(frame: Frame) -> pd.DataFrame:
    """Rank the families of each data set.

    A family is quoted from its confirm runs, on the test split, where it has any; else from its
    best tune or single run, on the validation split it was chosen by, and the row says
    `tuned on`; or, where no other was tried, on the test split if it was measured there. Families
    are ranked by bits/dim where the data are discrete and by the gain over the Gaussian baseline
    where they are continuous, and only among rows of the same data, preprocessing and split: where
    some rows are on test data, the others have no rank.

    Args:
        frame: all runs, from `flowbench.compare.runs.load`.

    Returns:
        A row a (data set, preprocessing, family), best first; the columns of
        `flowbench.compare.columns`, and

        * `..._se`, `..._low`, `..._high` of `bits_per_dim`, `nats`, `gain` and `behind_best`:
          standard error and 95 % interval, over seeds and test points (`statistics.crossed_mean`);
        * `interval_low`, `interval_high`: the interval of the measure of the rank, which
          `ranked_by` names;
        * `p_holm`, `verdict`: against the best, see `differences.differences_table`;
        * `front`: whether no family beats it in likelihood, sampling time and inversion error at
          once; False where one of these is unknown or may not be compared;
        * `speed_protocol`, `inversion_protocol`: `quick` or `full`, the same for all families of a
          data set where every one has it; `speed_device`, `speed_alone`, `inversion_points`;
        * `run_ids`, the runs that are quoted.
    """
    runs = frame.joined[QUOTED]
    done = runs[runs["outcome"] == "completed"]
    ranked = []
    for keys, group in done.groupby(PROTOCOL, sort=True):
        here = runs[_same(runs, PROTOCOL, keys)]
        cells = [
            _cell(str(family), cell, here, frame.tested) for family, cell in group.groupby("family")
        ]
        known = [cell for cell in cells if cell is not None]
        if known:
            points = {cell.family: frame.points(list(cell.quoted["run"])) for cell in known}
            ranked.append(_rank(_rows(frame, keys, known, points), points))
    if not ranked:
        return pd.DataFrame(columns=[*PROTOCOL, "family", "rank", "run_ids"])
    return pd.concat(ranked, ignore_index=True)


def _cell(
    family: str, done: pd.DataFrame, here: pd.DataFrame, tested: Mapping[str, str]
) -> _Cell | None:
    """Choose the runs of one family on one data set that stand for it, and name their split."""
    everything = here[here["family"] == family]
    confirmed = done[(done["stage"] == "confirm") & done["test/bits_per_dim"].notna()]
    if not confirmed.empty:
        return _Cell(family, "test", _one_sweep(confirmed), everything)
    chosen = done[done["val/bits_per_dim"].notna()].nsmallest(1, "val/bits_per_dim")
    if chosen.empty:
        return None
    split = "test" if chosen["run"].iloc[0] in tested else TUNED_ON
    return _Cell(family, split, chosen, everything)


def _one_sweep(confirmed: pd.DataFrame) -> pd.DataFrame:
    """Keep the sweep that confirmed the best configuration, judged by validation data alone."""
    if confirmed["sweep"].nunique() == 1:
        return confirmed
    merit = confirmed.groupby("sweep")["val/bits_per_dim"].mean()
    newest = confirmed.sort_values("started")["sweep"].iloc[-1]
    kept = merit.idxmin() if merit.notna().any() else newest
    return confirmed[confirmed["sweep"] == kept]


def _same(runs: pd.DataFrame, columns: list[str], keys: tuple[Hashable, ...]) -> pd.Series:
    """Find the runs of one cell; one that failed early may not know its data's hash or steps."""
    same = runs[columns] == pd.Series(keys, index=columns)
    return (same | (runs[columns] == "")).all(axis=1)


def _rows(
    frame: Frame, keys: tuple[Hashable, ...], cells: list[_Cell], points: Points
) -> pd.DataFrame:
    """Return one row a family; all by the same protocol where that can be."""
    quoted = [cell.quoted for cell in cells]
    timed_in_full = all_in_full(quoted, "speed_alone", every_run=False)
    inverted_in_full = all_in_full(quoted, "inversion/flow/xzx/max", every_run=True)
    rows = []
    for cell in cells:
        gaussian = frame.gaussian_points(list(cell.quoted["run"]))
        split = "test" if cell.split == "test" else "val"
        rows.append({
            **dict(zip(PROTOCOL, keys, strict=True)),
            "family": cell.family,
            "split": cell.split,
            **likelihood(cell.quoted, split, points[cell.family], gaussian),
            **speed(cell.quoted, FULL_PREFIX if timed_in_full else ""),
            **inversion(cell.quoted, FULL_PREFIX if inverted_in_full else ""),
            **labels(cell.quoted),
            "parameters": _first(cell.quoted["parameters"]),
            "device": words(cell.quoted["device"]),
            "seeds": cell.quoted["model_seed"].nunique(),
            "trials": int((cell.everything["stage"] == "tune").sum()),
            "budget": words(cell.everything["budget"]),
            "run_ids": tuple(cell.quoted["run"]),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _rank(group: pd.DataFrame, points: Points) -> pd.DataFrame:
    """Order one data set's families, and compare each with the best."""
    tested = group["split"] == "test"
    eligible = tested if tested.any() else pd.Series(True, index=group.index)
    continuous = (group["data_label"] == "density").all() and group["gain"].notna().all()
    # The gain is the bits/dim turned round and moved by the baseline: high is good.
    merit = group["gain"] if continuous else -group["bits_per_dim"]
    group = group.assign(
        merit=merit,
        rank=merit.where(eligible).rank(ascending=False, method="min"),
        ranked_by="gain" if continuous else "bits_per_dim",
        **{
            f"interval_{end}": group[f"{'gain' if continuous else 'bits_per_dim'}_{end}"]
            for end in ("low", "high")
        },
    )
    group = group.sort_values(["rank", "merit"], ascending=[True, False], na_position="last")
    pairs = compared(group, points)
    best = group["family"].iloc[0]
    behind = pairs[pairs["family"] == best].set_index("other").reindex(group["family"])
    behind = behind.set_axis(group.index)
    return group.assign(
        best=group["rank"] == 1,
        behind_best=behind["difference"],
        behind_best_se=behind["se"],
        behind_best_low=behind["low"],
        behind_best_high=behind["high"],
        p_holm=behind["p_holm"],
        verdict=behind["verdict"].fillna(""),
        front=_front(group),
    )


def _front(rows: pd.DataFrame) -> np.ndarray:
    """Mark the Pareto front of likelihood, sampling time and inversion error."""
    ranked = rows["rank"].notna()
    times = sampling_times(rows[ranked])
    fair = all(comparable(rows[ranked], key) for key in ("latency_ms", "inversion"))
    if not fair or times is None:
        return np.zeros(len(rows), bool)
    merit = rows["merit"].where(ranked)
    return pareto_front(
        {"merit": merit, "time": times.reindex(rows.index), "inversion": rows["inversion"]},
        {"merit": False, "time": True, "inversion": True},
    )


def _first(values: pd.Series) -> float:
    known = values.dropna()
    return float(known.iloc[0]) if len(known) else math.nan
