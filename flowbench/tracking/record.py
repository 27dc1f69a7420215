"""The one writer of the record: run directories mirrored into MLflow, each run once."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from flowbench.database import Database, described, is_away, schema_url, shared_database
from flowbench.errors import InputError
from flowbench.run_directory import RunDirectory, home
from flowbench.spec.vocabulary import Outcome
from flowbench.tracking import schema
from flowbench.tracking.facts import Facts, Point, result_tags
from flowbench.tracking.measurements import Measurement, measurements
from flowbench.tracking.store import connect, default_tracking_uri, reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

METRICS_AT_ONCE = 1000
PARAMS_AT_ONCE = 100
"""MLflow's limits for one call."""
RUNS_AT_ONCE = 1000
TURN_SECONDS = 60.0
DATABASES = ("sqlite:", "postgresql")
"""Records that are a database without a server, which keeps no files."""

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

    def __init__(self, tracking_uri: str, artifacts: Path, turns: Database | None = None) -> None:
        """Prepare, without touching the record yet.

        Args:
            tracking_uri: the record's address.
            artifacts: the directory for files, where the record is a database.
            turns: where drivers that write one record agree who writes a run; None where this is
                the only one.
        """
        self.tracking_uri = tracking_uri
        self._artifacts = artifacts.absolute()
        self._turns = turns
        self._experiment = ""
        self._known: dict[str, _Known] = {}
        self._learnt: set[str] = set()
        """Sweeps of which the record was asked what it has."""
        self._told = False
        """Whether the log says that the record does not take what it is sent."""

    @property
    def where(self) -> str:
        """The record's address, without passwords."""
        return described(self.tracking_uri)

    def record_sweep(self, name: str, sweep_hash: str, specification: str) -> bool:
        """Write the parent run of a sweep's trials; return whether it is in the record.

        Args:
            name: the sweep's name.
            sweep_hash: digits of its specification.
            specification: the sweep file as JSON.
        """

        def write(client: "MlflowClient") -> None:
            self._learn(client, name)
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
                for measurement in measurements(run):
                    unsent += not self._send(
                        measurement.id, partial(self._write_measurement, measurement)
                    )
        return unsent

    def answers(self) -> bool:
        """Say whether the record can be reached."""

        def ask(client: "MlflowClient") -> None:
            client.search_experiments(max_results=1)

        told, self._told = self._told, True  # nothing was sent
        answered = self._send("what has ended", ask)
        self._told = told
        return answered

    def keep_model(self, run: RunDirectory) -> bool:
        """Add the model of a run that turned out to be the best of its search."""

        def write(client: "MlflowClient") -> None:
            attempt, known = run.finished_attempt(), self._find(client, run.id)
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
            with self._turn(what):
                write(self._open())
        except (MlflowException, SQLAlchemyError, OSError, InputError) as error:
            if not self._told:
                logger.warning("%s is not in the record yet: %s", what, reason(error))
            self._told = True
            # It may have been done before the answer was lost: what is there is asked anew.
            self._learnt.clear()
            return False
        self._told = False
        return True

    @contextmanager
    def _turn(self, what: str) -> Iterator[None]:
        """Keep other drivers from writing the same run, where there are any."""
        if self._turns is None:
            yield
            return
        try:
            with self._turns.turn(f"record/{what}", TURN_SECONDS) as mine:
                if not mine:
                    raise TimeoutError("another driver is at it")
                yield
        except Exception as error:
            if not is_away(error):
                raise
            raise ConnectionError(str(error)) from error

    def _open(self) -> "MlflowClient":
        """Connect, and find or make the experiment."""
        client = connect(self.tracking_uri)
        if not self._experiment:
            experiment = client.get_experiment_by_name(schema.EXPERIMENT)
            self._experiment = experiment.experiment_id if experiment else self._create(client)
        return client

    def _create(self, client: "MlflowClient") -> str:
        from mlflow.exceptions import MlflowException

        # Without a place of its own MLflow puts artifacts under the working directory.
        place = self._artifacts.as_uri() if self.tracking_uri.startswith(DATABASES) else None
        try:
            return str(client.create_experiment(schema.EXPERIMENT, artifact_location=place))
        except MlflowException:
            experiment = client.get_experiment_by_name(schema.EXPERIMENT)
            if experiment is None:
                raise
            return str(experiment.experiment_id)  # another driver was first

    def _learn(self, client: "MlflowClient", sweep: str) -> None:
        """Ask at once which runs of a sweep the record has."""
        token: str | None = None
        while True:
            page = client.search_runs(
                [self._experiment],
                f"tags.`{schema.SWEEP}` = '{sweep}'",
                max_results=RUNS_AT_ONCE,
                page_token=token,
            )
            for run in page:
                self._note(run)
            token = page.token
            if not token:
                break
        self._learnt.add(sweep)

    def _find(self, client: "MlflowClient", name: str, sweep: str = "") -> _Known | None:
        """Return what the record has of a run."""
        known = self._known.get(name)
        alone = self._turns is None
        if known is None or not (known.whole or alone):
            if alone and sweep in self._learnt:
                return None
            for run in client.search_runs([self._experiment], f"tags.`{schema.RUN}` = '{name}'"):
                self._note(run)
        return self._known.get(name)

    def _note(self, run: "Run") -> None:
        found = _Known(run.info.run_id, bool(run.info.end_time))
        name = run.data.tags.get(schema.RUN, "")
        if name not in self._known or found.whole:
            self._known[name] = found

    def _write_run(self, run: RunDirectory, client: "MlflowClient") -> None:
        from mlflow.entities import Param

        known = self._known.get(run.id)
        if known is not None and known.whole:
            return
        facts = Facts.read(run)
        mlflow_id = self._begin(client, run.id, facts.tags(), facts.started)
        if mlflow_id is None:
            return
        for some in _chunks(list(facts.parameters().items()), PARAMS_AT_ONCE):
            client.log_batch(mlflow_id, params=[Param(key, value) for key, value in some])
        _log_points(client, mlflow_id, facts.points())
        for file in facts.files():
            client.log_artifact(mlflow_id, str(file))
        self._end(client, run.id, facts.result.outcome, facts.ended)

    def _write_measurement(self, measurement: Measurement, client: "MlflowClient") -> None:
        """Write a later measurement of a run as a run of its own."""
        known = self._known.get(measurement.id)
        if known is not None and known.whole:
            return
        result, ended = measurement.result(), measurement.ended
        tags = Facts.read(measurement.run).tags() | result_tags(result)
        tags |= {schema.STAGE: measurement.stage, schema.MEASURES: measurement.run.id}
        if result.command:
            tags |= {schema.COMMAND: result.command, schema.GIT_COMMIT: result.git_commit}
        mlflow_id = self._begin(client, measurement.id, tags, ended - result.seconds)
        if mlflow_id is not None:
            points = [Point(key, value, ended) for key, value in result.metrics.items()]
            _log_points(client, mlflow_id, points)
            if measurement.points is not None:
                client.log_artifact(mlflow_id, str(measurement.points))
            self._end(client, measurement.id, result.outcome, ended)

    def _begin(
        self, client: "MlflowClient", name: str, tags: Mapping[str, str], started: float
    ) -> str | None:
        """Return the run to write: a new one, or one cut off midway; None where it is whole.

        Writing a cut-off run again changes nothing that is there: parameters are the same, and a
        metric of the same time, step and value is one row.
        """
        sweep = tags.get(schema.SWEEP, "")
        known = self._find(client, name, sweep)
        if known is not None:
            return None if known.whole else known.mlflow_id
        parent = self._find(client, sweep) if sweep and sweep != name else None
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


def open_recorder() -> Recorder:
    """Return the writer of the default record, to which other drivers may write too."""
    shared = shared_database()
    turns = None if shared is None else Database(schema_url(shared, "flowbench"))
    return Recorder(default_tracking_uri(), home() / "artifacts", turns)


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
