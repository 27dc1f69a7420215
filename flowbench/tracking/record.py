"""The one writer of the record: run directories mirrored into MLflow, each run once."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from flowbench.run_directory import RunDirectory
from flowbench.spec.vocabulary import Outcome
from flowbench.tracking import schema
from flowbench.tracking.facts import Facts, Point, result_tags, speed_result
from flowbench.tracking.store import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

METRICS_AT_ONCE = 1000
PARAMS_AT_ONCE = 100
"""MLflow's limits for one call."""

STATUS: dict[Outcome, str] = {"completed": "FINISHED", "pruned": "FINISHED", "lost": "KILLED"}
"""MLflow's word for how a run ended; FAILED for the outcomes that are not here."""

T = TypeVar("T")


@dataclass
class _Known:
    """A run that the record has."""

    mlflow_id: str
    whole: bool


class Recorder:
    """Writes runs to one MLflow record.

    A result is in its run directory before it is here. What could not be sent (the server is down,
    the disk is full) stays unsent, and `sync` sends it later; what is there is not sent again.
    """

    def __init__(self, tracking_uri: str, artifacts: Path) -> None:
        """Prepare, without touching the record yet.

        Args:
            tracking_uri: the record's address.
            artifacts: the directory for files, where the record is a database of ours.
        """
        self.tracking_uri = tracking_uri
        self._artifacts = artifacts.absolute()
        self._experiment = ""
        self._known: dict[str, _Known] = {}

    def record_sweep(self, name: str, sweep_hash: str, specification: str) -> bool:
        """Write the parent run of a sweep's trials; return whether it is in the record.

        Args:
            name: the sweep's name.
            sweep_hash: digits of its specification.
            specification: the sweep file as JSON.
        """

        def write(client: "MlflowClient") -> None:
            tags = {
                schema.SWEEP: name,
                schema.STAGE: schema.SWEEP_STAGE,
                schema.SWEEP_HASH: sweep_hash,
            }
            mlflow_id = self._begin(client, name, tags, time.time())
            if mlflow_id is not None:
                client.log_text(mlflow_id, specification, schema.SWEEP_ARTIFACT)
                self._end(client, name, "completed", time.time())

        return self._send(name, write)

    def sync(self, runs: Iterable[RunDirectory]) -> int:
        """Send every finished run and measurement that is not in the record yet.

        Returns:
            How many could not be sent.
        """
        unsent = 0
        for run in runs:
            if run.result() is not None:
                unsent += not self._send(run.id, partial(self._write_run, run))
            if speed_result(run) is not None:
                unsent += not self._send(run.id, partial(self._write_speed, run))
        return unsent

    def keep_model(self, run: RunDirectory) -> bool:
        """Add the model of a run that turned out to be the best of its search."""

        def write(client: "MlflowClient") -> None:
            attempt, known = run.finished_attempt(), self._known.get(run.id)
            if attempt is None or known is None:
                return
            there = {file.path for file in client.list_artifacts(known.mlflow_id)}
            if attempt.model.name not in there:
                client.log_artifact(known.mlflow_id, str(attempt.model))

        return self._send(run.id, write)

    def _send(self, what: str, write: "Callable[[MlflowClient], None]") -> bool:
        """Write to the record; say whether it worked."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            write(self._open())
        except (MlflowException, SQLAlchemyError, OSError) as error:
            logger.warning("%s is not in the record yet: %s", what, error)
            return False
        return True

    def _open(self) -> "MlflowClient":
        """Connect, and learn once which runs the record has."""
        client = connect(self.tracking_uri)
        if self._experiment:
            return client
        experiment = client.get_experiment_by_name(schema.EXPERIMENT)
        if experiment is None:
            # Without a place of its own MLflow puts artifacts under the working directory.
            ours = self.tracking_uri.startswith("sqlite:")
            place = self._artifacts.as_uri() if ours else None
            self._experiment = client.create_experiment(schema.EXPERIMENT, artifact_location=place)
            return client
        token: str | None = None
        while True:
            page = client.search_runs([experiment.experiment_id], page_token=token)
            for run in page:
                name = run.data.tags.get(schema.RUN, "")
                self._known[name] = _Known(run.info.run_id, bool(run.info.end_time))
            token = page.token
            if not token:
                break
        self._experiment = experiment.experiment_id
        return client

    def _write_run(self, run: RunDirectory, client: "MlflowClient") -> None:
        if self._has(run.id):
            return
        facts = Facts.read(run)
        mlflow_id = self._begin(client, run.id, facts.tags(), facts.started)
        if mlflow_id is None:
            return
        from mlflow.entities import Param

        for some in _chunks(list(facts.parameters().items()), PARAMS_AT_ONCE):
            client.log_batch(mlflow_id, params=[Param(key, value) for key, value in some])
        _log_points(client, mlflow_id, facts.points())
        for file in facts.files():
            client.log_artifact(mlflow_id, str(file))
        self._end(client, run.id, facts.result.outcome, facts.ended)

    def _write_speed(self, run: RunDirectory, client: "MlflowClient") -> None:
        """Write the later measurement of a run's speed as a run of its own."""
        name = f"{run.id}.speed"
        result = speed_result(run)
        if result is None or self._has(name):
            return
        ended = run.speed_path.stat().st_mtime
        tags = Facts.read(run).tags() | result_tags(result)
        tags |= {schema.STAGE: "speed", schema.MEASURES: run.id}
        mlflow_id = self._begin(client, name, tags, ended - result.seconds)
        if mlflow_id is not None:
            points = [Point(key, value, ended) for key, value in result.metrics.items()]
            _log_points(client, mlflow_id, points)
            self._end(client, name, result.outcome, ended)

    def _has(self, name: str) -> bool:
        return name in self._known and self._known[name].whole

    def _begin(
        self, client: "MlflowClient", name: str, tags: Mapping[str, str], started: float
    ) -> str | None:
        """Return the run to write: a new one, or one cut off midway; None where it is whole.

        Writing a cut-off run again changes nothing that is there: parameters are the same, and a
        metric of the same time, step and value is one row.
        """
        known = self._known.get(name)
        if known is not None:
            return None if known.whole else known.mlflow_id
        parent = self._known.get(tags.get(schema.SWEEP, ""))
        tags = {**tags, schema.RUN: name, schema.RUN_NAME: name}
        if parent is not None:
            tags[schema.PARENT] = parent.mlflow_id
        created = client.create_run(
            self._experiment, start_time=_milliseconds(started), tags=tags, run_name=name
        )
        self._known[name] = _Known(created.info.run_id, whole=False)
        return str(created.info.run_id)

    def _end(self, client: "MlflowClient", name: str, outcome: Outcome, ended: float) -> None:
        known = self._known[name]
        status = STATUS.get(outcome, "FAILED")
        client.set_terminated(known.mlflow_id, status, end_time=_milliseconds(ended))
        known.whole = True


def _log_points(client: "MlflowClient", mlflow_id: str, points: Sequence[Point]) -> None:
    from mlflow.entities import Metric

    for some in _chunks(points, METRICS_AT_ONCE):
        metrics = [Metric(p.name, p.value, _milliseconds(p.time), p.step) for p in some]
        client.log_batch(mlflow_id, metrics=metrics)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
