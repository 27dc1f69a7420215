"""How far a sweep is, read from its run directories alone."""

import socket
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

from flowbench.run_directory import RunDirectory, home
from flowbench.spec.sweep import SweepSpec
from flowbench.sweep.directory import SweepDirectory
from flowbench.sweep.front import FrontTrial, front
from flowbench.sweep.launchers.base import Lease
from flowbench.sweep.space import trial_count
from flowbench.tracking.provenance import Provenance

State = Literal["running", "stopped", "finished"]

RUNNING = "running"
WAITING = "interrupted"
"""In place of an outcome: neither finished nor running; `sweep resume` goes on with it."""


@dataclass(frozen=True)
class RunningTrial:
    """A trial that runs now."""

    run: str
    attempt: int
    since: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class SweepStatus:
    """How far a sweep is."""

    name: str
    state: State
    driver: int | None
    """Process that runs it."""
    counts: dict[str, dict[str, int]]
    """By stage, then by outcome (or `running`, `interrupted`)."""
    expected: dict[str, int]
    """Runs of each stage when all is done."""
    running: tuple[RunningTrial, ...]
    running_since: float | None
    """When its driver began, in seconds since 1970; None where none runs."""
    expected_end: float | None
    """Estimated from the finished runs; None where no driver runs, or nothing finished yet."""
    how_to_go_on: str
    """The command that comes next."""
    slots: int
    """Trials that may run side by side, over all drivers."""
    budget: str
    """What each family may spend, in words, its unit among them."""
    front: tuple[FrontTrial, ...] = ()
    """Of a sweep with two objectives."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def rows(self) -> list[list[object]]:
        """Return rows of stage, outcome and number of runs."""
        return [
            [stage, outcome, f"{number} of {self.expected[stage]}"]
            for stage, outcomes in self.counts.items()
            for outcome, number in sorted(outcomes.items())
        ]


def sweep_status(name: str) -> SweepStatus:
    """Tell how far a sweep is.

    Raises:
        InputError: if there is no such sweep.
    """
    directory = SweepDirectory(home() / name)
    sweep = directory.spec()
    counts: dict[str, Counter[str]] = {"tune": Counter(), "confirm": Counter(), "speed": Counter()}
    running: list[RunningTrial] = []
    seconds = []
    for run in sweep_runs(name):
        state = run_state(run)
        counts[Provenance.read(run).stage][state] += 1
        if state == RUNNING:
            running.append(_running(run))
        elif (result := run.result()) is not None:
            seconds.append(result.seconds)
        if run.speed_path.is_file():
            counts["speed"]["completed"] += 1
    expected = expected_runs(sweep)
    missing = sum(expected[s] - _done(counts[s]) for s in ("tune", "confirm"))
    driver = directory.driver()
    slots = sweep.resources.slots * max(1, len(directory.drivers()))
    end = None
    if driver is not None and any(seconds):
        each, now = sum(seconds) / len(seconds), time.time()
        left = missing - sum(min((now - trial.since) / each, 1.0) for trial in running)
        end = now + left * each / slots
    state, next_command = _where(name, running=driver is not None, finished=directory.finished)
    return SweepStatus(
        name=name,
        state=state,
        driver=driver,
        counts={stage: dict(outcomes) for stage, outcomes in counts.items()},
        expected=expected,
        running=tuple(running),
        running_since=directory.driven_since(),
        expected_end=end,
        how_to_go_on=next_command,
        slots=slots,
        budget=sweep.budget.words,
        front=front(sweep_runs(name), sweep.constraints) if len(sweep.objectives) > 1 else (),
    )


def _where(name: str, *, running: bool, finished: bool) -> tuple[State, str]:
    """Return the state of a sweep and the command that comes next."""
    if running:
        return "running", f"flowbench sweep status {name}"
    if finished:
        return "finished", f"flowbench report {name}"
    return "stopped", f"flowbench sweep resume {name}"


def expected_runs(sweep: SweepSpec) -> dict[str, int]:
    """Return how many runs each stage has when all goes well."""
    data = len(sweep.data)
    cells = len(sweep.families) * data
    return {
        "tune": sum(trial_count(sweep, family) for family in sweep.families) * data,
        "confirm": sweep.confirm.seeds * cells,
        "speed": cells,
    }


def sweep_runs(name: str) -> list[RunDirectory]:
    """Return the runs of a sweep that were started, in the order of their names."""
    return [RunDirectory(path.parent) for path in sorted(home().glob(f"{name}.*/spec.json"))]


def run_state(run: RunDirectory) -> str:
    """Return how a run ended, or that it runs, or that it was interrupted."""
    result = run.result()
    if result is not None:
        return result.outcome
    lease = _lease(run)
    return RUNNING if lease is not None and _alive(run, lease) else WAITING


def _alive(run: RunDirectory, lease: Lease) -> bool:
    """Say whether a trial runs; of one on another machine only its driver knows."""
    if lease.engine == "local" and lease.host == socket.gethostname():
        return lease.alive
    sweep = Provenance.read(run).sweep
    return bool(sweep) and SweepDirectory(home() / sweep).driver() is not None


def _running(run: RunDirectory) -> RunningTrial:
    lease = _lease(run)
    return RunningTrial(run.id, run.attempts()[-1].number, lease.started if lease else time.time())


def _lease(run: RunDirectory) -> Lease | None:
    attempts = run.attempts()
    return Lease.read(attempts[-1]) if attempts else None


def _done(outcomes: Counter[str]) -> int:
    return outcomes.total() - outcomes[RUNNING] - outcomes[WAITING]
