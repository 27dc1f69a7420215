"""A sweep as its run directories show it now: how far it is, what runs, how the losses fall."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from flowbench.dashboard.followed import Followed
from flowbench.errors import InputError
from flowbench.run_directory import RunDirectory, find_run, home
from flowbench.sweep.directory import SweepDirectory
from flowbench.sweep.status import SweepStatus, run_state, sweep_runs, sweep_status
from flowbench.tracking.provenance import Provenance

LOOK_SECONDS = 2.0
CURVES = 40
"""Runs whose curves are shown: those that run, and the last that began before them."""
VALIDATION = "val/bits_per_dim"


@dataclass(frozen=True)
class LiveTrial:
    """A trial that runs."""

    run: str
    family: str
    data: str
    attempt: int
    since: float
    """Seconds since 1970."""
    stage: str
    epoch: int | None
    bits_per_dim: float
    """At the last validation; NaN before the first."""


@dataclass(frozen=True)
class LiveSweep:
    """A sweep at one moment."""

    status: SweepStatus
    trials: tuple[LiveTrial, ...]
    curves: pd.DataFrame
    """Columns `family run step value`, as the figure of learning curves takes them."""

    @property
    def version(self) -> str:
        """Differs when something happened; the mere passing of time is nothing."""
        status = replace(self.status, expected_end=None)
        return str(hash((repr(status), repr(self.trials), len(self.curves))))


def sweeps_here() -> dict[str, SweepDirectory]:
    """Return the sweeps under the home directory, by name, the newest first."""
    return _sweeps(home()).get()


def live_sweep(name: str) -> LiveSweep:
    """Return a sweep as it was seen last, a few seconds ago at most.

    Raises:
        InputError: if there is no such sweep here.
    """
    if name not in sweeps_here():
        raise InputError(f"{name}: no such sweep under {home()}")
    return _followed(home(), name).get()


def live_version(name: str) -> str:
    """Return the version of what `live_sweep` returns, without waiting for it."""
    known = _followed(home(), name).peek() if name in sweeps_here() else None
    return "" if known is None else known.version


def state_of(directory: SweepDirectory) -> str:
    """Return `running`, `finished` or `stopped`."""
    if directory.driver() is not None:
        return "running"
    return "finished" if directory.finished else "stopped"


def state_of_run(name: str) -> str:
    """Say what a run that has no result yet is at; nothing of any other."""
    run = find_run(name)
    if run is None or run.result() is not None:
        return ""
    events = _events(run)
    validations = [event["epoch"] for event in events if event["kind"] == "validation"]
    words = f"{run_state(run)}, in the run's directory {run.path}"
    return words + (f", epoch {validations[-1]}" if validations else "")


@cache
def _sweeps(place: Path) -> Followed[dict[str, SweepDirectory]]:
    def read() -> dict[str, SweepDirectory]:
        found = sorted(place.glob("*/sweep.json"), key=lambda path: path.stat().st_mtime)
        return {path.parent.name: SweepDirectory(path.parent) for path in reversed(found)}

    return Followed(read, LOOK_SECONDS)


@cache
def _followed(place: Path, name: str) -> Followed[LiveSweep]:
    return Followed(lambda: _look(name), LOOK_SECONDS)


def _look(name: str) -> LiveSweep:
    status = sweep_status(name)
    running = {trial.run: trial for trial in status.running}
    shown = sorted(sweep_runs(name), key=lambda run: (run.id in running, run.path.stat().st_mtime))
    trials: list[LiveTrial] = []
    curves: list[dict[str, Any]] = []
    for run in shown[-CURVES:]:
        why = Provenance.read(run)
        events = _events(run)
        curves += _curve(run.id, why.family, events)
        if run.id in running:
            trial = running[run.id]
            trials.append(_trial(run.id, why, trial.attempt, trial.since, events))
    columns = ["family", "run", "step", "value"]
    return LiveSweep(status, tuple(trials), pd.DataFrame(curves, columns=columns))


def _events(run: RunDirectory) -> list[dict[str, Any]]:
    return [event for attempt in run.attempts() for event in attempt.events()[0]]


def _trial(
    run: str, why: Provenance, attempt: int, since: float, events: list[dict[str, Any]]
) -> LiveTrial:
    stages = [event["stage"] for event in events if event["kind"] == "stage"]
    validations = [event for event in events if event["kind"] == "validation"]
    last = validations[-1] if validations else None
    return LiveTrial(
        run, why.family, why.data, attempt, since,
        stage=stages[-1] if stages else "starting",
        epoch=None if last is None else int(last["epoch"]),
        bits_per_dim=math.nan if last is None else last["metrics"].get(VALIDATION, math.nan),
    )  # fmt: skip


def _curve(run: str, family: str, events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the points of a learning curve; of an epoch that was gone through twice, the last."""
    values = {
        event["epoch"]: event["metrics"].get(VALIDATION, math.nan)
        for event in events
        if event["kind"] == "validation"
    }
    for epoch, value in sorted(values.items()):
        if math.isfinite(value):
            yield {"family": family, "run": run, "step": epoch, "value": value}
