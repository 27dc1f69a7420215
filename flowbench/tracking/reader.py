"""Runs read back from the record, as pandas frames, each time anew; `mirror` is the quick way."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowbench.errors import InputError
from flowbench.tracking import schema
from flowbench.tracking.rows import frame_of, number_of, row_of, table_of
from flowbench.tracking.source import Source
from flowbench.tracking.store import connect

if TYPE_CHECKING:
    from mlflow.entities import Run

NO_STEPS, NO_VALUES = np.empty(0, np.int64), np.empty(0, np.float64)
"""A curve without points."""


def read_runs(tracking_uri: str, sweep: str | None = None) -> pd.DataFrame:
    """Read every run, or those of one sweep: one row a run, the oldest first.

    A later measurement of a run (stages `speed` and `evaluate`) is a row of its own whose
    `measures` names the run it belongs to; the sweep's own parent run is left out (`read_sweeps`
    has it).

    Args:
        tracking_uri: the record's address.
        sweep: a sweep's name; None reads all runs, single ones included.

    Returns:
        Columns `mlflow_id`, `started`, `ended` (UTC times); the words `run sweep stage family data
        outcome reason measures reuses default lost spec_hash data_hash git_commit command device
        budget_unit` (empty where unknown); the numbers `data_seed model_seed trial attempts
        n_parameters budget_per_trial budget_trials budget_total` (NaN where unknown);
        `label.<name>` and `version.<name>`; `param.<key>` for each key of the specification, as
        text; and every metric by its own name (NaN where the run has none).
    """
    query = f"tags.`{schema.STAGE}` != '{schema.SWEEP_STAGE}'"
    if sweep is not None:
        query += f" and tags.`{schema.SWEEP}` = '{_quoted(sweep)}'"
    return frame_of(table_of([row_of(run) for run in _search(tracking_uri, query)], {}))


def read_sweeps(tracking_uri: str) -> pd.DataFrame:
    """Read the sweeps: columns `sweep`, `mlflow_id`, `started`, `sweep_hash`; the newest last."""
    runs = _search(tracking_uri, f"tags.`{schema.STAGE}` = '{schema.SWEEP_STAGE}'")
    rows = [
        {
            "sweep": run.data.tags.get(schema.SWEEP, ""),
            "mlflow_id": run.info.run_id,
            "started": pd.Timestamp(run.info.start_time, unit="ms", tz="UTC"),
            "sweep_hash": run.data.tags.get(schema.SWEEP_HASH, ""),
        }
        for run in runs
    ]
    columns = ["sweep", "mlflow_id", "started", "sweep_hash"]
    return pd.DataFrame(rows, columns=columns).sort_values("started", ignore_index=True)


def read_history(tracking_uri: str, mlflow_id: str, metrics: list[str]) -> pd.DataFrame:
    """Read learning curves.

    Args:
        tracking_uri: the record's address.
        mlflow_id: the run, by the column `mlflow_id` of `read_runs`.
        metrics: names such as `val/bits_per_dim` or `train/log_det`.

    Returns:
        Columns `metric`, `step` (the epoch) and `value`; a metric that the run lacks has no rows.
        Where a step has several values, the first in time is the curve's.
    """
    curves = {name: read_curve(tracking_uri, mlflow_id, name) for name in sorted(set(metrics))}
    return pd.DataFrame(
        {
            "metric": pd.Series(
                [name for name, (steps, _) in curves.items() for _ in steps], dtype=str
            ),
            "step": np.concatenate([NO_STEPS, *(steps for steps, _ in curves.values())]),
            "value": np.concatenate([NO_VALUES, *(values for _, values in curves.values())]),
        }
    )


def read_curve(
    tracking_uri: str, mlflow_id: str, metric: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Read one learning curve: the steps in order, and the first value in time of each."""
    points = connect(tracking_uri).get_metric_history(mlflow_id, metric)
    first: dict[int, float] = {}
    for point in sorted(points, key=lambda point: (point.step, point.timestamp)):
        first.setdefault(point.step, number_of(point.value))
    return np.array(list(first), np.int64), np.array(list(first.values()), np.float64)


def read_artifact(tracking_uri: str, mlflow_id: str, name: str) -> Path | None:
    """Return a local path of a run's artifact (`schema.SAMPLES_ARTIFACT`, ...), None without it."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    client = connect(tracking_uri)
    if name not in {item.path for item in client.list_artifacts(mlflow_id)}:
        return None
    try:
        path = download_artifacts(run_id=mlflow_id, artifact_path=name, tracking_uri=tracking_uri)
    except (MlflowException, OSError):
        return None
    return Path(path)


def _search(tracking_uri: str, query: str) -> "Iterator[Run]":
    source = Source.of(tracking_uri)
    if source is not None:
        for page in source.pages(query):
            yield from page


def _quoted(text: str) -> str:
    if "'" in text:
        raise InputError(f"{text}: no such sweep")
    return text
