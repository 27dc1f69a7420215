"""All runs of the record as one tidy frame, with the curves and per-point results behind it."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowbench.compare.joining import FULL_PREFIX, joined
from flowbench.errors import InputError
from flowbench.tracking import schema, store
from flowbench.tracking.mirror import Mirror, Progress

PROTOCOL = ["data", "data_hash", "preprocess"]
"""What two runs must share to be ranked together (beside the split)."""

BATCHES = (1, 64, 1024)
TIMINGS = ("samples_per_second", "latency_ms")
MATCHED = {"_at_1e-4": "1e-4", "_at_1e-3": "1e-3", "_at_1e-6": "1e-6"}
"""Endings of the speeds of iterative samplers, by the worst error that they were timed at: in
single precision, and in double."""

METRICS = [
    *(
        f"{split}/{name}"
        for split in ("val", "test")
        for name in (
            "bits_per_dim", "bits_per_dim_se", "nats", "nats_se", "gain_over_gaussian",
            "excess_over_entropy", "excess_over_entropy_se",
        )
    ),
    "inversion/flow/xzx/max", "inversion/exact_share", "inversion/points",
    *(
        f"sampling/b{batch}/{name}{error}"
        for batch in BATCHES
        for name in TIMINGS
        for error in ("", *MATCHED)
    ),
]  # fmt: skip
"""Metrics that the leaderboard reads; NaN where a run lacks one."""

LABELS = [
    "log_det", "data", "inverse", "preprocess", "warnings", "event_shape", "columns", "protocol"
]  # fmt: skip
MEASURED_BASELINES = {
    "Gaussian": "gaussian",
    "Gaussian in flow coordinates": "gaussian_flow",
    "histogram": "histogram",
}
LN2 = math.log(2)
SAMPLES = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Frame:
    """All runs, one row each, and the way to what lies behind a row."""

    tracking_uri: str
    runs: pd.DataFrame
    """Every row of the record, later measurements of runs included. Columns of
    `tracking.reader.read_runs`; `preprocess`, `parameters` and `budget`; every metric and label
    that the leaderboard reads, missing ones as NaN or empty."""

    @cached_property
    def joined(self) -> pd.DataFrame:
        """One row a run, later measurements joined to it, see `flowbench.compare.joining`.

        `sampling/b1/latency_ms` and the like are at the matched error where the sampler is
        iterative; `speed_error` says which, empty where it is not.
        """
        return quoted_speeds(joined(self.runs))

    def points(self, run_ids: Sequence[str]) -> pd.DataFrame | None:
        """Return log densities in nats, a row a test point and a column a run.

        None where a run has no per-point results, or none of its points is in all of them.
        """
        return self._by_point(run_ids, "log_prob")

    def gaussian_points(self, run_ids: Sequence[str]) -> pd.DataFrame | None:
        """Return the Gaussian baseline's log densities of the same points, as `points` does."""
        return self._by_point(run_ids, "gaussian")

    def _by_point(self, run_ids: Sequence[str], column: str) -> pd.DataFrame | None:
        found = []
        for run in run_ids:
            scores = self._scores(run)
            if scores is None or column not in scores:
                return None
            found.append(scores[column].rename(run))
        # A score that is no number stays: it is a fault, not a point that was not measured.
        shared = pd.concat(found, axis=1, join="inner") if found else pd.DataFrame()
        return shared if len(shared) else None

    def _scores(self, run: str) -> pd.DataFrame | None:
        """Return a run's results by point; each is read once."""
        if run not in self._read:
            path = self._artifact(self.tested.get(run, run), schema.POINTS_ARTIFACT)
            self._read[run] = None if path is None else pd.read_parquet(path).set_index("row")
        return self._read[run]

    @cached_property
    def _read(self) -> dict[str, pd.DataFrame | None]:
        return {}

    @cached_property
    def tested(self) -> dict[str, str]:
        """For each run that a later measurement on test data stands for, that measurement.

        So it is where a single configuration of a family was tried: nothing was chosen by
        validation data, and nothing was confirmed.
        """
        own = self.runs[self.runs["measures"] == ""].drop_duplicates("run", keep="last")
        tried = own[own["stage"].isin(["single", "tune", "confirm"])]
        alone = tried[~tried.duplicated(["data", "family"], keep=False)]
        later = self.runs[
            self.runs["measures"].isin(alone.loc[alone["stage"] != "confirm", "run"])
            & (self.runs["outcome"] == "completed")
            & self.runs["test/bits_per_dim"].notna()
        ].sort_values("started", kind="stable")
        return dict(zip(later["measures"], later["run"], strict=True))

    def history(self, run: str, metric: str) -> pd.DataFrame:
        """Return a learning curve: columns `step` (the epoch) and `value`."""
        curve = self._record.history(self._mlflow_id[run], [metric])
        return curve[["step", "value"]]

    def samples(self, run: str) -> SAMPLES | None:
        """Return the model's samples and real points beside them, each `(n, *event_shape)`."""
        path = self._artifact(run, schema.SAMPLES_ARTIFACT)
        if path is None:
            return None
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays["flow"], float), np.asarray(arrays["data"], float)

    def baselines(self, data: str, split: str, dimensions: float) -> dict[str, float]:
        """Return the baselines of a data set in bits/dim, by a name to show.

        Args:
            data: the data set.
            split: `val` or `test`: where the baselines were measured.
            dimensions: D, to turn the entropy from nats into bits/dim.
        """
        runs = self.runs[self.runs["data"] == data]
        known = {
            str(name).removeprefix(schema.BASELINE_PREFIX): float(values.iloc[-1])
            for name in runs.columns
            if str(name).startswith(schema.BASELINE_PREFIX) and len(values := runs[name].dropna())
        }
        found = {
            words: known[name]
            for words, baseline in MEASURED_BASELINES.items()
            if (name := f"{baseline}/{split}/bits_per_dim") in known
        }
        if "entropy/nats" in known:
            to_bits = 1 / (dimensions * LN2)
            found["entropy"] = known["entropy/nats"] * to_bits
            if "volume_preserving/excess" in known:
                floor = known["entropy/nats"] + known["volume_preserving/excess"]
                found["volume-preserving limit"] = floor * to_bits
        return found

    def warnings(self) -> dict[str, list[str]]:
        """Return what each data set's own checks said of it."""
        found: dict[str, list[str]] = {}
        for row in self.runs[["data", "label.warnings"]].drop_duplicates().itertuples(index=False):
            data, words = str(row[0]), str(row[1])
            for warning in listed(words):
                if warning not in found.setdefault(data, []):
                    found[data].append(warning)
        return {data: warnings for data, warnings in found.items() if warnings}

    @cached_property
    def _mlflow_id(self) -> dict[str, str]:
        # The newest wins where a run was recorded twice.
        return dict(zip(self.runs["run"], self.runs["mlflow_id"], strict=True))

    def _artifact(self, run: str, name: str) -> Path | None:
        return self._record.artifact(self._mlflow_id[run], name)

    @cached_property
    def _record(self) -> Mirror:
        return Mirror(self.tracking_uri)


def load(tracking_uri: str, sweep: str | None = None, progress: Progress | None = None) -> Frame:
    """Read all runs of the record, or those of one sweep; what the mirror has is not read again.

    Args:
        tracking_uri: the record's address.
        sweep: a sweep's name; None for all runs.
        progress: called with the number of runs that were read and of all, where they are many.

    Raises:
        InputError: if there is no record, or it cannot be read, or no run is in it, or none of
            that sweep.
    """
    if not store.exists(tracking_uri):
        raise InputError(f"{tracking_uri}: no such record; a run or a sweep makes it")
    mirror = Mirror(tracking_uri)
    mirror.synchronise(progress)
    runs = mirror.runs(sweep)
    if runs.empty and sweep is not None:
        known = ", ".join(mirror.sweeps()["sweep"]) or "none"
        raise InputError(f"{sweep}: no run of such a sweep in the record; sweeps: {known}")
    if runs.empty:
        raise InputError(f"{tracking_uri}: the record has no runs yet")
    return Frame(tracking_uri, tidy(runs))


def tidy(runs: pd.DataFrame) -> pd.DataFrame:
    """Give the reader's frame every column that comparisons use."""
    labels = [f"label.{name}" for name in LABELS]
    wanted = [name for name in [*METRICS, *labels] if name not in runs]
    runs = runs.reindex(columns=[*runs.columns, *wanted])
    runs[labels] = runs[labels].astype(object).fillna("").astype(str)
    for name in METRICS:
        runs[name] = runs[name].astype(float)
    return quoted_speeds(runs).assign(
        preprocess=runs["label.preprocess"],
        parameters=runs["n_parameters"],
        budget=[
            _budget(unit, per_trial, total)
            for unit, per_trial, total in zip(
                runs["budget_unit"], runs["budget_per_trial"], runs["budget_total"], strict=True
            )
        ],
    )


def quoted_speeds(runs: pd.DataFrame) -> pd.DataFrame:
    """Quote iterative samplers at their matched error, the others as they are.

    Args:
        runs: rows with the columns of `METRICS`, and perhaps the same after `full/`.

    Returns:
        The rows with `speed_error`, for each of the two.
    """
    found: dict[str, pd.Series] = {}
    for prefix in ("", FULL_PREFIX):
        error = pd.Series("", runs.index, dtype=object)
        for batch, timing in product(BATCHES, TIMINGS):
            name = f"{prefix}sampling/b{batch}/{timing}"
            if name not in runs:
                continue
            value = pd.Series(np.nan, runs.index)
            for ending, words in MATCHED.items():
                matched = runs[f"{name}{ending}"]
                error = error.where(matched.isna() | (error != ""), words)
                value = value.fillna(matched)
            found[name] = value.fillna(runs[name])
        found[f"{prefix}speed_error"] = error
    return runs.assign(**found)


def listed(words: str) -> list[str]:
    """Read a label that holds several texts: a JSON list, or texts joined by `; `."""
    if words.startswith("["):
        try:
            return [str(item) for item in json.loads(words)]
        except json.JSONDecodeError:
            pass
    return [part for part in words.split("; ") if part]


def _budget(unit: str, per_trial: float, total: float) -> str:
    if not unit or np.isnan(per_trial):
        return ""
    words = f"{per_trial:g} {unit.replace('_', '-')}"
    return words if np.isnan(total) else f"{words} of {total:g}"
