"""Runs with known numbers, written to a real MLflow record the way drivers write them."""

import json
import math
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from flowbench.tracking import schema
from flowbench.tracking.store import connect

LN2 = math.log(2)
FAMILIES = ("nice", "realnvp", "glow", "planar", "sylvester", "residual")
# Bits/dim above the best, samples/s at batch 1024, worst inversion error, parameters.
TRAITS = {
    "nice": (0.05, 90000.0, 2e-6, 180_000),
    "realnvp": (0.0, 60000.0, 8e-6, 210_000),
    "glow": (0.03, 21000.0, 7e-5, 240_000),
    "planar": (0.21, 9000.0, 4e-6, 9_000),
    "sylvester": (0.12, 5200.0, 5e-6, 60_000),
    "residual": (0.09, 800.0, 9e-5, 190_000),
}
HOSTILE = "<script>alert(1)</script>"
HOSTILE_TEX = r"50%_of & $x^2$ \input{/etc/passwd} #~{}"
HOSTILE_MARKDOWN = "[a](javascript:alert(1)) | `b` **c**"


@dataclass
class RecordedRun:
    """One run as a driver would record it."""

    name: str
    family: str
    data: str
    stage: str = "tune"
    sweep: str = "demo"
    outcome: str = "completed"
    reason: str = ""
    model_seed: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    curve: list[float] = field(default_factory=list)
    points: pd.DataFrame | None = None
    samples: tuple[np.ndarray, np.ndarray] | None = None


@cache
def empty_database() -> Path:
    """A record with its tables made: making them takes seconds, copying the file does not."""
    path = Path(tempfile.mkdtemp()) / "empty.db"
    connect(f"sqlite:///{path}")
    return path


class Record:
    """A new SQLite record in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.uri = f"sqlite:///{directory / 'mlflow.db'}"
        shutil.copy(empty_database(), directory / "mlflow.db")
        self.client = connect(self.uri)
        self.experiment = self.client.create_experiment(
            schema.EXPERIMENT, artifact_location=(directory / "artifacts").as_uri()
        )

    def add(self, run: RecordedRun) -> None:
        from mlflow.entities import Metric, Param

        tags = {
            schema.RUN: run.name, schema.SWEEP: run.sweep, schema.STAGE: run.stage,
            schema.FAMILY: run.family, schema.DATA: run.data, schema.OUTCOME: run.outcome,
            schema.REASON: run.reason, schema.DATA_SEED: "0",
            schema.MODEL_SEED: str(run.model_seed), schema.SPEC_HASH: f"{hash(run.name):x}"[-8:],
            schema.DATA_HASH: f"hash-of-{run.data}"[:40], schema.GIT_COMMIT: "0123456789abcdef",
            schema.DEVICE: "2 CPU cores", schema.BUDGET_UNIT: "epochs",
            schema.BUDGET_PER_TRIAL: "20", schema.BUDGET_TRIALS: "3",
            f"{schema.VERSION_PREFIX}torch": "2.13.0", schema.RUN_NAME: run.name,
            **{f"{schema.LABEL_PREFIX}{k}": v for k, v in run.labels.items()}, **run.tags,
        }  # fmt: skip
        made = self.client.create_run(self.experiment, tags=tags)
        now = int(time.time() * 1000)
        points = [Metric(k, v, now, 20) for k, v in run.metrics.items()]
        points += [Metric("val/bits_per_dim", v, now, i + 1) for i, v in enumerate(run.curve)]
        stated = {"family.name": run.family[:200], **run.parameters}
        parameters = [Param(key, value) for key, value in stated.items()]
        self.client.log_batch(made.info.run_id, points, parameters)
        local = self.directory / "outbox"
        local.mkdir(exist_ok=True)
        if run.points is not None:
            run.points.to_parquet(local / schema.POINTS_ARTIFACT)
            self.client.log_artifact(made.info.run_id, str(local / schema.POINTS_ARTIFACT))
        if run.samples is not None:
            np.savez(local / schema.SAMPLES_ARTIFACT, flow=run.samples[0], data=run.samples[1])
            self.client.log_artifact(made.info.run_id, str(local / schema.SAMPLES_ARTIFACT))
        ended = "FINISHED" if run.outcome in ("completed", "pruned") else "FAILED"
        self.client.set_terminated(made.info.run_id, status=ended)


def measured(nats: np.ndarray, dimensions: int, split: str, gaussian: float) -> dict[str, float]:
    """Return the metrics that log densities of points give."""
    to_bits = 1 / (dimensions * LN2)
    mean, se = nats.mean(), nats.std(ddof=1) / math.sqrt(len(nats))
    return {
        f"{split}/bits_per_dim": -mean * to_bits, f"{split}/bits_per_dim_se": se * to_bits,
        f"{split}/nats": mean, f"{split}/gain_over_gaussian": gaussian + mean * to_bits,
    }  # fmt: skip


def demo_record(directory: Path, seeds: int = 5, trials: int = 3) -> str:
    """Write the sweep `demo` and return its address."""
    record = Record(directory)
    noise = np.random.default_rng(0)
    for data, dimensions, gaussian in (("digits", 64, 2.29), ("moons", 2, 1.95)):
        hardness = noise.normal(0, 0.25 * math.sqrt(dimensions), 360)
        for family in FAMILIES:
            _family(record, noise, family, data, dimensions, gaussian, hardness, seeds, trials)
    record.add(RecordedRun(
        "demo.residual.digits.0003", "residual", "digits", outcome="diverged",
        reason="the loss is not finite at epoch 4",
    ))  # fmt: skip
    record.add(RecordedRun(
        "demo.planar.moons.confirm-5", "planar", "moons", stage="confirm", model_seed=105,
        outcome="out_of_memory", reason="the allocator could not give 2.1 GB",
    ))  # fmt: skip
    record.add(RecordedRun("demo.glow.moons.0003", "glow", "moons", outcome="pruned"))
    return record.uri


def _family(record, noise, family, data, dimensions, gaussian, hardness, seeds, trials):
    behind, speed, inversion, parameters = TRAITS[family]
    best = 2.05 if data == "digits" else 1.42
    iterative = family in ("planar", "sylvester", "residual")
    labels = {
        "log_det": "estimate" if family == "residual" else "exact",
        "data": "dequantised" if data == "digits" else "density",
        "inverse": "iterative" if iterative else "analytic",
        "preprocess": json.dumps(
            [{"name": "logit", "lam": 0.01}] if data == "digits" else [{"name": "standardise"}]
        ),
        "warnings": "" if data == "digits" else json.dumps(["fewer rows than 20 a dimension"]),
    }
    baselines = (
        {"gaussian": 2.29, "gaussian_flow": 2.21, "histogram": 2.32}
        if data == "digits"
        else {"gaussian": 1.95}
    )
    if data == "moons":
        common = {"baseline/entropy/nats": 1.40 * 2 * LN2, "baseline/volume_preserving/excess": 0.1}
    else:
        common = {}
    common |= {f"baseline/{k}/test/bits_per_dim": v for k, v in baselines.items()} | {
        "inversion/flow/xzx/max": inversion, "inversion/points": 1024.0,
    }  # fmt: skip
    tags = {schema.N_PARAMETERS: str(parameters)}
    for trial in range(trials):
        level = best + behind + 0.02 * (trials - trial)
        metrics = {
            "val/bits_per_dim_se": 0.01, "val/nats": -level * dimensions * LN2,
            "val/gain_over_gaussian": gaussian - level, **common,
        }  # fmt: skip
        record.add(RecordedRun(
            f"demo.{family}.{data}.{trial:04d}", family, data, labels=labels,
            tags={**tags, schema.TRIAL: str(trial)}, metrics=metrics, curve=_curve(level, 8),
        ))  # fmt: skip
    for seed in range(seeds):
        level = best + behind + noise.normal(0, 0.008)
        nats = -level * dimensions * LN2 + hardness + noise.normal(0, 0.1, len(hardness))
        name = f"demo.{family}.{data}.confirm-{seed}"
        metrics = {**measured(nats, dimensions, "test", gaussian), **common}
        if data == "digits":
            metrics["inversion/exact_share"] = 1.0 if inversion < 1e-5 else 0.993
        else:
            metrics["test/excess_over_entropy"] = (level - 1.40) * 2 * LN2
            metrics["test/excess_over_entropy_se"] = 0.004
        record.add(RecordedRun(
            name, family, data, stage="confirm", model_seed=100 + seed, labels=labels, tags=tags,
            metrics=metrics, curve=_curve(level, 20),
            points=pd.DataFrame({"row": np.arange(len(nats)), "log_prob": nats, "se": 0.0}),
            samples=drawn(noise, data, behind) if seed == 0 else None,
        ))  # fmt: skip
        if seed == 0:
            ending = "_at_1e-4" if iterative else ""
            speeds = {}
            for batch, share in ((1, 0.004), (64, 0.2), (1024, 1.0)):
                rate = speed * share
                speeds[f"sampling/b{batch}/samples_per_second{ending}"] = rate
                speeds[f"sampling/b{batch}/latency_ms{ending}"] = 1000 * batch / rate
            record.add(RecordedRun(
                f"{name}.speed", family, data, stage="speed", model_seed=100, labels=labels,
                tags={**tags, schema.MEASURES: name}, metrics=speeds,
            ))  # fmt: skip


def _curve(level: float, epochs: int) -> list[float]:
    return [level + 1.2 * math.exp(-0.6 * i) for i in range(epochs)]


def drawn(noise, data: str, blur: float) -> tuple[np.ndarray, np.ndarray]:
    if data == "moons":
        return moons(noise, 600, 0.08 + blur), moons(noise, 600, 0.08)
    from sklearn.datasets import load_digits

    real = load_digits().images[:64, None]
    fake = np.clip(real[::-1] + noise.normal(0, 1 + 15 * blur, real.shape), 0, 16)
    return fake, real


def moons(noise, count: int, spread: float) -> np.ndarray:
    t = noise.uniform(0, math.pi, count)
    upper = noise.random(count) < 0.5
    x = np.where(upper, np.cos(t), 1 - np.cos(t))
    y = np.where(upper, np.sin(t), 0.5 - np.sin(t))
    return np.stack([x, y], 1) + noise.normal(0, spread, (count, 2))


def hostile_record(directory: Path) -> str:
    """Write runs named to break out of HTML, LaTeX and Markdown, and return the address."""
    record = Record(directory)
    noise = np.random.default_rng(1)
    table = noise.normal(size=(200, 9))
    for i, family in enumerate((HOSTILE, HOSTILE_TEX, HOSTILE_MARKDOWN)):
        level = 1.0 + 0.1 * i
        record.add(RecordedRun(
            f"{HOSTILE}.{i}", family, HOSTILE, stage="single", sweep="", curve=_curve(level, 5),
            labels={
                "log_det": "exact", "data": "density", "inverse": "analytic",
                "preprocess": HOSTILE, "columns": json.dumps([HOSTILE_TEX] * 9),
                "warnings": json.dumps([HOSTILE]),
            },
            metrics={
                "val/bits_per_dim": level, "val/bits_per_dim_se": 0.01,
                "val/nats": -level * 9 * LN2, "val/gain_over_gaussian": 2 - level,
                "sampling/b64/samples_per_second": 1000.0 * (i + 1),
                "inversion/flow/xzx/max": 1e-6, "baseline/gaussian/val/bits_per_dim": 2.0,
            },
            samples=(table + 0.1, table),
        ))  # fmt: skip
    record.add(RecordedRun(
        "bad", HOSTILE, HOSTILE, stage="single", sweep="", outcome="code_error", reason=HOSTILE
    ))  # fmt: skip
    return record.uri
