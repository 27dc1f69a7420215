"""All runs of the record as one tidy frame, with the curves and per-point results behind it."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowbench.errors import InputError
from flowbench.tracking import schema, store
from flowbench.tracking.mirror import Mirror, Progress

PROTOCOL = ["data", "data_hash", "preprocess"]
"""What two runs must share to be ranked together (beside the split)."""

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
        for batch in (1, 64, 1024)
        for name in ("samples_per_second", "latency_ms")
        for error in ("", "_at_1e-4")
    ),
]  # fmt: skip
"""Metrics that the leaderboard reads; NaN where a run lacks one."""

LABELS = ["log_det", "data", "inverse", "preprocess", "warnings", "event_shape", "columns"]
MEASURED_BASELINES = {
    "Gaussian": "gaussian",
    "Gaussian in flow coordinates": "gaussian_flow",
    "histogram": "histogram",
}
LN2 = math.log(2)
MATCHED_ERROR = "_at_1e-4"
"""Ending of the speeds of iterative samplers: measured at that worst error."""

SAMPLES = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Frame:
    """All runs, one row each, and the way to what lies behind a row."""

    tracking_uri: str
    runs: pd.DataFrame
    """Columns of `tracking.reader.read_runs`; `preprocess`, `parameters` and `budget`; every
    metric and label that the leaderboard reads, missing ones as NaN or empty."""

    def points(self, run_ids: Sequence[str]) -> pd.DataFrame | None:
        """Return log densities in nats, a row a test point and a column a run.

        None where a run has no per-point results, or none of its points is in all of them.
        """
        columns = {}
        for run in run_ids:
            path = self._artifact(run, schema.POINTS_ARTIFACT)
            if path is None:
                return None
            columns[run] = pd.read_parquet(path).set_index("row")["log_prob"]
        joined = pd.DataFrame(columns).dropna()
        return joined if len(joined) else None

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
    for batch in (1, 64, 1024):
        for measure in ("samples_per_second", "latency_ms"):
            # An iterative sampler is quoted at its matched error, the others as they are.
            name = f"sampling/b{batch}/{measure}"
            runs[name] = runs[f"{name}{MATCHED_ERROR}"].fillna(runs[name])
    matched = runs[[f"sampling/b{b}/latency_ms{MATCHED_ERROR}" for b in (1, 64, 1024)]]
    return runs.assign(
        preprocess=runs["label.preprocess"],
        parameters=runs["n_parameters"],
        budget=[
            _budget(unit, per_trial, total)
            for unit, per_trial, total in zip(
                runs["budget_unit"], runs["budget_per_trial"], runs["budget_total"], strict=True
            )
        ],
        speed_error=np.where(matched.notna().any(axis=1), "1e-4", ""),
    )


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
