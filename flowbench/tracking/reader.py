"""Runs read back from the record, as pandas frames; the only source of comparisons and reports."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from flowbench.errors import InputError
from flowbench.tracking import schema
from flowbench.tracking.store import connect

if TYPE_CHECKING:
    from mlflow.entities import Run

PAGE = 1000

NUMBERS = {
    schema.DATA_SEED: "data_seed",
    schema.MODEL_SEED: "model_seed",
    schema.TRIAL: "trial",
    schema.ATTEMPTS: "attempts",
    schema.N_PARAMETERS: "n_parameters",
    schema.BUDGET_PER_TRIAL: "budget_per_trial",
    schema.BUDGET_TRIALS: "budget_trials",
    schema.BUDGET_TOTAL: "budget_total",
}
WORDS = {
    schema.RUN: "run",
    schema.SWEEP: "sweep",
    schema.STAGE: "stage",
    schema.FAMILY: "family",
    schema.DATA: "data",
    schema.OUTCOME: "outcome",
    schema.REASON: "reason",
    schema.MEASURES: "measures",
    schema.REUSES: "reuses",
    schema.DEFAULT: "default",
    schema.LOST: "lost",
    schema.SPEC_HASH: "spec_hash",
    schema.DATA_HASH: "data_hash",
    schema.GIT_COMMIT: "git_commit",
    schema.COMMAND: "command",
    schema.DEVICE: "device",
    schema.BUDGET_UNIT: "budget_unit",
}


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
    rows = [_row(run) for run in _search(tracking_uri, query)]
    known = ["mlflow_id", "started", "ended", *WORDS.values(), *NUMBERS.values()]
    frame = pd.DataFrame(rows, columns=None if rows else known)
    return frame.sort_values(["started", "run"], ignore_index=True)


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
    client = connect(tracking_uri)
    rows = [
        {"metric": name, "step": p.step, "time": p.timestamp, "value": _number(p.value)}
        for name in metrics
        for p in client.get_metric_history(mlflow_id, name)
    ]
    frame = pd.DataFrame(rows, columns=["metric", "step", "time", "value"])
    frame = frame.sort_values(["metric", "step", "time"]).drop_duplicates(["metric", "step"])
    return frame[["metric", "step", "value"]].reset_index(drop=True)


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


def _search(tracking_uri: str, query: str) -> "list[Run]":
    client = connect(tracking_uri)
    experiment = client.get_experiment_by_name(schema.EXPERIMENT)
    if experiment is None:
        return []
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment.experiment_id], query, max_results=PAGE, page_token=token
        )
        runs += page
        token = page.token
        if not token:
            return runs


def _row(run: "Run") -> dict[str, Any]:
    tags = run.data.tags
    row: dict[str, Any] = {
        "mlflow_id": run.info.run_id,
        "started": pd.Timestamp(run.info.start_time, unit="ms", tz="UTC"),
        "ended": pd.Timestamp(run.info.end_time, unit="ms", tz="UTC"),
    }
    row |= {column: tags.get(tag, "") for tag, column in WORDS.items()}
    row |= {column: float(tags.get(tag) or math.nan) for tag, column in NUMBERS.items()}
    for prefix in (schema.LABEL_PREFIX, schema.VERSION_PREFIX):
        short = prefix.removeprefix(schema.PREFIX)
        row |= {
            f"{short}{tag.removeprefix(prefix)}": value
            for tag, value in tags.items()
            if tag.startswith(prefix)
        }
    row |= {f"param.{key}": value for key, value in run.data.params.items()}
    row |= {name: _number(value) for name, value in run.data.metrics.items()}
    return row


def _number(value: float) -> float:
    """Give back the infinity that the store clipped."""
    return math.copysign(math.inf, value) if abs(value) >= schema.INFINITY else value


def _quoted(text: str) -> str:
    if "'" in text:
        raise InputError(f"{text}: no such sweep")
    return text
