"""What the record says of a run, read from its directory alone, so that it can be rebuilt."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowbench.run_directory import RunDirectory, TrialResult
from flowbench.spec.run import RunSpec
from flowbench.tracking import schema
from flowbench.tracking.provenance import Provenance

LONGEST_TEXT = 6000
"""Letters of MLflow's longest parameter; a tag may have a few more."""

CLOCK = 0.002
"""Seconds between two times that MLflow, which counts milliseconds, surely tells apart."""

ARTIFACTS = (schema.EVENTS_ARTIFACT, schema.SAMPLES_ARTIFACT, schema.POINTS_ARTIFACT)
"""Files of an attempt that the record keeps."""


@dataclass(frozen=True)
class Point:
    """One value of a metric."""

    name: str
    value: float
    time: float
    """Seconds since 1970."""
    step: int = 0


@dataclass(frozen=True)
class Facts:
    """A finished run."""

    run: RunDirectory
    spec: RunSpec
    provenance: Provenance
    result: TrialResult
    events: list[dict[str, Any]]
    """Of all attempts, the oldest first."""

    @classmethod
    def read(cls, run: RunDirectory) -> "Facts":
        """Read a run that has a result.

        Raises:
            InputError: if there is no such run.
            ValueError: if it has no result yet.
        """
        result = run.result()
        if result is None:
            raise ValueError(f"{run.id} has no result yet")
        events = [event for attempt in run.attempts() for event in attempt.events()[0]]
        return cls(run, run.spec(), Provenance.read(run), result, events)

    @property
    def ended(self) -> float:
        written = [a.path / "result.json" for a in self.run.attempts()]
        return max(path.stat().st_mtime for path in written if path.is_file())

    @property
    def started(self) -> float:
        return min((event["time"] for event in self.events), default=self.ended)

    @property
    def _start(self) -> dict[str, Any]:
        """The facts that the last attempt stated when it began."""
        starts = [event for event in self.events if event["kind"] == "start"]
        return starts[-1] if starts else {}

    def tags(self) -> dict[str, str]:
        """Return the tags of the run."""
        spec, why, start = self.spec, self.provenance, self._start
        data = spec.data
        tags: dict[str, Any] = {
            schema.RUN: self.run.id,
            schema.SWEEP: why.sweep,
            schema.STAGE: why.stage,
            schema.FAMILY: spec.family.name,
            schema.DATA: why.data or data.name or Path(data.path or data.train or "").stem,
            schema.DATA_SEED: spec.data_seed,
            schema.MODEL_SEED: spec.model_seed,
            schema.SPEC_HASH: spec.hash,
            schema.GIT_COMMIT: why.git_commit,
            schema.COMMAND: why.command,
            schema.TRIAL: why.trial,
            schema.REUSES: why.reuses,
            schema.DEFAULT: why.default,
            schema.BUDGET_UNIT: why.budget_unit,
            schema.BUDGET_PER_TRIAL: why.budget_per_trial,
            schema.BUDGET_TRIALS: why.budget_trials,
            schema.BUDGET_TOTAL: why.budget_total,
            schema.ATTEMPTS: len(self.run.attempts()),
            schema.LOST: "; ".join(
                event.get("reason", "")
                for event in self.events
                if event["kind"] == "end" and event.get("outcome") == "lost"
            ),
            schema.DATA_HASH: start.get("data_hash"),
            schema.DEVICE: start.get("device"),
            schema.N_PARAMETERS: start.get("n_parameters"),
        }
        for package, version in start.get("versions", {}).items():
            tags[f"{schema.VERSION_PREFIX}{package}"] = version
        tags |= result_tags(self.result)
        known = {name: str(value) for name, value in tags.items() if value not in (None, "")}
        return {name: value[:LONGEST_TEXT] for name, value in known.items()}

    def parameters(self) -> dict[str, str]:
        """Return the flattened specification, each value as text."""
        flat = flattened(self.spec.model_dump(mode="json"))
        return {key: value[:LONGEST_TEXT] for key, value in flat.items()}

    def points(self) -> list[Point]:
        """Return the learning curves by epoch, then the final metrics.

        The final value of a metric has the last epoch's step and a later time: it is the one that
        a table shows, and a curve, which keeps the first value of each step, has no point of it.
        """
        curves = {
            (name, event["epoch"]): Point(name, value, event["time"], event["epoch"])
            for event in self.events
            if event["kind"] == "validation"
            for name, value in {**event["metrics"], **event.get("train", {})}.items()
        }
        last = max((point.step for point in curves.values()), default=0)
        final = {
            **self.result.metrics,
            "epochs": self.result.epochs,
            "steps": self.result.steps,
            "seconds": self.result.seconds,
            "device_seconds": self.result.device_seconds,
            **{
                f"{schema.BASELINE_PREFIX}{name}": value
                for name, value in self._start.get("baselines", {}).items()
            },
        }
        # A file's time may be some milliseconds behind the clock that events go by.
        later = max((point.time + CLOCK for point in curves.values()), default=self.ended)
        end = max(self.ended, later)
        return [*curves.values(), *(Point(name, value, end, last) for name, value in final.items())]

    def files(self) -> list[Path]:
        """Return the files that the record keeps beside the numbers.

        Weights are kept of runs that may be used: single ones and confirming ones; the best trial
        of a search is added when it is known.
        """
        attempt = self.run.attempts()[-1]
        files = [self.run.path / schema.SPEC_ARTIFACT]
        files += [attempt.path / name for name in ARTIFACTS]
        trained = self.run.finished_attempt()
        if trained is not None and self.provenance.stage in ("single", "confirm"):
            files.append(trained.model)
        return [file for file in files if file.is_file()]


def result_tags(result: TrialResult) -> dict[str, str]:
    """Return how a run ended and what its metrics mean."""
    labels = {f"{schema.LABEL_PREFIX}{name}": value for name, value in result.labels.items()}
    return {schema.OUTCOME: result.outcome, schema.REASON: result.reason, **labels}


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values by dotted keys; lists as JSON, what is None left out."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            flat[f"{prefix}{key}"] = json.dumps(value)
        elif value is not None:
            flat[f"{prefix}{key}"] = str(value)
    return flat
