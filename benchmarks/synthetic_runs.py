"""Thousands of made-up runs in a real MLflow database, written straight into its tables.

By MLflow's own calls they would take a quarter of an hour; the tables are MLflow's own, made by it.
"""

import json
import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flowbench.tracking import schema
from flowbench.tracking.store import connect

FAMILIES = ("nice", "realnvp", "glow", "planar", "sylvester", "residual")
DATA = {"digits": 64, "moons": 2, "protein": 9, "checkerboard": 2}
"""Data sets and their dimensions."""
TUNED, CONFIRMED = 15, 5
EPOCHS = 20
CURVES = ("val/bits_per_dim", "val/nats", "train/base_log_prob", "train/log_det")
HELD_OUT = 360
RUNS_AT_ONCE = 500
START = 1_700_000_000_000
"""Milliseconds since 1970 of the first run; each next one begins a second later."""
LN2 = math.log(2)


@dataclass
class Rows:
    """Rows of MLflow's tables, by table."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    tags: list[dict[str, Any]] = field(default_factory=list)
    params: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    latest_metrics: list[dict[str, Any]] = field(default_factory=list)


def fill(tracking_uri: str, artifacts: Path, runs: range) -> None:
    """Write some of an endless row of sweeps of six families on four data sets.

    Args:
        tracking_uri: the address of a database.
        artifacts: where the runs' files go.
        runs: which: the same numbers are always the same runs.
    """
    from mlflow.store.db.base_sql_model import Base
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    client = connect(tracking_uri)
    known = client.get_experiment_by_name(schema.EXPERIMENT)
    experiment = (
        known.experiment_id
        if known
        else client.create_experiment(schema.EXPERIMENT, artifact_location=artifacts.as_uri())
    )
    engine = SqlAlchemyStore(tracking_uri, artifacts.as_uri()).engine  # type: ignore[no-untyped-call]
    some = islice(enumerate(_runs()), runs.start, runs.stop)
    while batch := list(islice(some, RUNS_AT_ONCE)):
        rows = Rows()
        for number, run in batch:
            _add(rows, number, run, int(experiment), artifacts)
        with engine.begin() as connection:
            for table, values in vars(rows).items():
                connection.execute(Base.metadata.tables[table].insert(), values)
    engine.dispose()


@dataclass(frozen=True)
class _Run:
    name: str
    sweep: str
    stage: str
    family: str
    data: str
    seed: int
    level: float
    """Bits/dim."""
    measures: str = ""


def _runs() -> Iterator[_Run]:
    noise = np.random.default_rng(0)
    sweep = 0
    while True:
        for data in DATA:
            for number, family in enumerate(FAMILIES):
                cell = f"s{sweep:03d}.{family}.{data}"
                best = 1.5 + 0.05 * number
                for trial in range(TUNED):
                    level = best + noise.exponential(0.2)
                    name = f"{cell}.{trial:04d}"
                    yield _Run(name, f"s{sweep:03d}", "tune", family, data, trial, level)
                for seed in range(CONFIRMED):
                    level, name = best + noise.normal(0, 0.01), f"{cell}.confirm-{seed}"
                    yield _Run(name, f"s{sweep:03d}", "confirm", family, data, 100 + seed, level)
                yield _Run(
                    f"{cell}.confirm-0.speed", f"s{sweep:03d}", "speed", family, data, 100, best,
                    measures=f"{cell}.confirm-0",
                )  # fmt: skip
        sweep += 1


def _add(rows: Rows, number: int, run: _Run, experiment: int, artifacts: Path) -> None:
    noise = np.random.default_rng(number)
    mlflow_id = uuid.UUID(int=noise.integers(2**62).item() << 64 | number).hex
    place = artifacts / mlflow_id / "artifacts"
    began, ended = START + 1000 * number, START + 1000 * number + 60_000
    rows.runs.append(
        {
            "run_uuid": mlflow_id, "name": run.name, "status": "FINISHED", "start_time": began,
            "end_time": ended, "lifecycle_stage": "active", "artifact_uri": place.as_uri(),
            "experiment_id": experiment, "user_id": "bench", "source_type": "UNKNOWN",
            "source_name": "", "entry_point_name": "", "source_version": "", "deleted_time": None,
        }
    )  # fmt: skip
    for table, values in ((rows.tags, _tags(run)), (rows.params, _parameters(run, noise))):
        table += [{"run_uuid": mlflow_id, "key": k, "value": v} for k, v in values.items()]
    curves = {} if run.stage == "speed" else {name: _curve(run, name) for name in CURVES}
    for name, curve in curves.items():
        rows.metrics += [
            _metric(mlflow_id, name, point, began + 1000 * epoch, epoch)
            for epoch, point in enumerate(curve, start=1)
        ]
    for name, value in _metrics(run, noise).items():
        rows.metrics.append(_metric(mlflow_id, name, value, ended, EPOCHS))
        rows.latest_metrics.append(rows.metrics[-1])
    if run.stage == "confirm":
        place.mkdir(parents=True)
        log_prob = -run.level * DATA[run.data] * LN2 + noise.normal(0, 1, HELD_OUT)
        points = pd.DataFrame({"row": np.arange(HELD_OUT), "log_prob": log_prob, "se": 0.0})
        points.to_parquet(place / schema.POINTS_ARTIFACT)


def _metric(mlflow_id: str, key: str, value: float, time: int, step: int) -> dict[str, Any]:
    return {
        "run_uuid": mlflow_id, "key": key, "value": value, "timestamp": time, "step": step,
        "is_nan": False,
    }  # fmt: skip


def _tags(run: _Run) -> dict[str, str]:
    labels = {
        "log_det": "estimate" if run.family == "residual" else "exact",
        "data": "dequantised" if run.data == "digits" else "density",
        "inverse": "iterative" if run.family in ("planar", "sylvester", "residual") else "analytic",
        "preprocess": json.dumps([{"name": "standardise"}]), "event_shape": f"[{DATA[run.data]}]",
        "protocol": "quick", "device": "1 GPU", "selection": "last", "columns": "[]",
    }  # fmt: skip
    versions = dict.fromkeys(("python", "torch", "pytorch-lightning", "numpy", "flowbench"), "2.1")
    return {
        schema.RUN: run.name, schema.RUN_NAME: run.name, schema.SWEEP: run.sweep,
        schema.STAGE: run.stage, schema.FAMILY: run.family, schema.DATA: run.data,
        schema.DATA_SEED: "0", schema.MODEL_SEED: str(run.seed), schema.OUTCOME: "completed",
        schema.SPEC_HASH: uuid.uuid5(uuid.NAMESPACE_OID, run.name).hex[:8],
        schema.DATA_HASH: f"hash-of-{run.data}",
        schema.GIT_COMMIT: "0123456789abcdef", schema.COMMAND: f"flowbench sweep run {run.sweep}",
        schema.DEVICE: "1 GPU", schema.N_PARAMETERS: str(100_000 + run.seed),
        schema.TRIAL: str(run.seed % 100), schema.ATTEMPTS: "1", schema.BUDGET_UNIT: "epochs",
        schema.BUDGET_PER_TRIAL: str(EPOCHS), schema.BUDGET_TRIALS: str(TUNED),
        **({schema.MEASURES: run.measures} if run.measures else {}),
        **{f"{schema.LABEL_PREFIX}{name}": value for name, value in labels.items()},
        **{f"{schema.VERSION_PREFIX}{name}": value for name, value in versions.items()},
    }  # fmt: skip


def _parameters(run: _Run, noise: np.random.Generator) -> dict[str, str]:
    searched = {
        "family.name": run.family, "family.depth": str(noise.integers(2, 17)),
        "family.hidden": "[128, 128]", "data.name": run.data, "model_seed": str(run.seed),
        "training.learning_rate": f"{10 ** noise.uniform(-4, -2):.6g}",
        "training.weight_decay": f"{10 ** noise.uniform(-6, -2):.6g}",
    }  # fmt: skip
    if run.family == "residual":
        searched["family.lipschitz"] = f"{noise.uniform(0.5, 0.99):.4f}"
    if run.family in ("nice", "realnvp", "glow"):
        searched["family.split"] = str(noise.choice(["half", "parity"]))
    return searched | {f"training.option_{i:02d}": str(i) for i in range(25)}


def _curve(run: _Run, name: str) -> list[float]:
    sign = 1 if name == CURVES[0] else -DATA[run.data]
    return [sign * (run.level + 1.2 * math.exp(-0.4 * i)) for i in range(EPOCHS)]


def _metrics(run: _Run, noise: np.random.Generator) -> dict[str, float]:
    """Return some fifty metrics, as many as a confirmed run has."""
    speed = 1000.0 * (1 + FAMILIES.index(run.family))
    ending = "_at_1e-4" if run.family in ("planar", "sylvester", "residual") else ""
    speeds = {
        f"sampling/b{batch}/{name}{ending}": value
        for batch in (1, 64, 1024)
        for name, value in (("samples_per_second", speed * batch), ("latency_ms", 1e3 / speed))
    }
    if run.stage == "speed":
        return speeds
    split = "test" if run.stage == "confirm" else "val"
    inversion = {
        f"inversion/{space}/{way}/{figure}": float(noise.exponential(1e-6))
        for space in ("flow", "data")
        for way in ("xzx", "zxz")
        for figure in ("max", "p99", "median", "nonfinite")
    }
    return {
        f"{split}/bits_per_dim": run.level, f"{split}/bits_per_dim_se": 0.01,
        f"{split}/nats": -run.level * DATA[run.data] * LN2, f"{split}/nats_se": 0.1,
        f"{split}/gain_over_gaussian": 2.2 - run.level, **inversion, **speeds,
        "inversion/points": 1024.0, "inversion/exact_share": 1.0, "epochs": EPOCHS,
        "steps": 200.0, "seconds": 60.0, "device_seconds": 60.0,
        **{name: _curve(run, name)[-1] for name in CURVES[2:]},
        **{f"baseline/gaussian/{split}/{name}": 2.2 for name in ("bits_per_dim", "nats")},
    }  # fmt: skip
