"""The event loop that runs trials: starts them, follows their events, judges how they ended."""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from flowbench.run_directory import (
    DISK_FULL,
    AttemptDirectory,
    RunDirectory,
    TrialResult,
    home,
)
from flowbench.spec.run import RunSpec
from flowbench.sweep.disk import DiskFull, sentence_when_full
from flowbench.sweep.launchers.base import Job, Launcher
from flowbench.sweep.stopping import StopRequest, stop_requests
from flowbench.tracking.provenance import Provenance

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.1
GRACE_SECONDS = 10.0
"""Time that trials have to end by themselves when the driver stops."""


@dataclass(frozen=True)
class Work:
    """One run to do."""

    run: RunDirectory
    spec: RunSpec
    provenance: Provenance
    attempt: int = 0
    """The least number of its next attempt: others may have been made where this host cannot see
    them yet."""


class Plan(Protocol):
    """What to run, and what to do with the results."""

    retries: int
    """New attempts at a run whose process was lost."""
    how_to_go_on: str
    """The command that continues after a stop."""

    def next(self) -> Work | None:
        """Return a run that can start now, or None while there is none."""

    def event(self, work: Work, event: dict[str, Any]) -> bool:
        """Take note of what a run said; return whether it should be pruned."""

    def finished(self, work: Work, result: TrialResult) -> None:
        """Take note of a final result, which is in the run directory."""

    def tick(self) -> Collection[str]:
        """Do what is due now and then; return the runs that another driver has taken over."""

    @property
    def done(self) -> bool:
        """Whether nothing can follow, whatever other drivers of the same plan do."""


class Watcher(Protocol):
    """Someone who shows what happens."""

    def started(self, work: Work, attempt: int) -> None:
        """A trial was started."""

    def event(self, work: Work, event: dict[str, Any]) -> None:
        """A trial said something."""

    def ended(self, work: Work, result: TrialResult) -> None:
        """A trial has its final result."""

    def note(self, sentence: str) -> None:
        """Something else worth a line happened."""

    def tick(self) -> None:
        """Some time has passed."""


@dataclass
class Running:
    """A trial that runs."""

    work: Work
    attempt: AttemptDirectory
    job: Job
    offset: int = 0
    """How much of `events.jsonl` was read."""


@dataclass
class Driver:
    """Runs a plan's work on a launcher, in one thread."""

    plan: Plan
    launcher: Launcher
    watcher: Watcher
    running: list[Running] = field(default_factory=list)
    again: list[Work] = field(default_factory=list)
    """Lost runs, to be started anew."""

    def run(self) -> None:
        """Do all the work there is.

        Raises:
            DiskFull: where no space is left; finished work is kept.
            SystemExit: with 130 or 143 after Ctrl-C or SIGTERM; trials were stopped, and go on
                from their last checkpoint when the plan is run again.
        """
        with stop_requests() as stop, sentence_when_full(home(), self.plan.how_to_go_on):
            try:
                while self._start_what_fits(stop) or self.running or not self.plan.done:
                    for trial in list(self.running):
                        self._follow(trial)
                    self._let_go(self.plan.tick())
                    self.watcher.tick()
                    if stop:
                        self._leave(stop)
                    time.sleep(POLL_SECONDS)
            finally:
                self._end_all()

    def measure(self, runs: Sequence[RunDirectory], log: Path) -> None:
        """Measure the sampling speed of finished runs, one at a time, with nothing else running.

        A run that ends the measuring process is noted as failed, and the others go on.
        """
        with stop_requests() as stop, sentence_when_full(home(), self.plan.how_to_go_on):
            while waiting := [run for run in runs if not run.speed_path.is_file()]:
                job = self.launcher.start_measuring(waiting, log)
                try:
                    while (code := job.exit_code()) is None:
                        self.plan.tick()
                        self.watcher.tick()
                        if stop:
                            self._leave(stop)
                        time.sleep(POLL_SECONDS)
                finally:
                    job.kill()
                if code == DISK_FULL:
                    raise DiskFull(home(), self.plan.how_to_go_on)
                failed = next((run for run in waiting if not run.speed_path.is_file()), None)
                if failed is not None:
                    reason = f"measuring its speed ended with exit code {code}; see {log}"
                    self.watcher.note(f"{failed.id}: {reason}")
                    runs = [run for run in runs if run.id != failed.id]

    def _start_what_fits(self, stop: StopRequest) -> bool:
        """Fill the slots; return whether anything was started."""
        started = False
        while not stop and self.launcher.has_room():
            work = self.again.pop(0) if self.again else self.plan.next()
            if work is None:
                break
            self._start(work)
            started = True
        return started

    def _start(self, work: Work) -> None:
        """Start a run's next attempt, take over one that runs, or take the result that is there."""
        run = work.run
        earlier = run.attempts()
        for attempt in earlier:
            job = None if attempt.result() else self.launcher.adopt(run, attempt)
            if job is not None:
                self.running.append(Running(work, attempt, job))
                self.watcher.started(work, attempt.number)
                return
            self._replay(work, attempt)
        if (result := run.result()) is not None:
            self._finish(work, result)
            return
        work.provenance.write(run)
        run.write_spec(work.spec)  # what makes it a run
        attempt = run.attempt(max(work.attempt, earlier[-1].number + 1 if earlier else 0))
        attempt.create()
        job = self.launcher.start(run, attempt)
        self.running.append(Running(work, attempt, job))
        self.watcher.started(work, attempt.number)

    def _replay(self, work: Work, attempt: AttemptDirectory) -> None:
        """Note what an earlier attempt said, in case its driver did not live to."""
        for event in attempt.events()[0]:
            self.plan.event(work, event)

    def _follow(self, trial: Running) -> None:
        """Read what a trial said, and judge it if it has ended."""
        code = trial.job.exit_code()  # before reading: nothing is written after the end
        events, trial.offset = trial.attempt.events(trial.offset)
        for event in events:
            self.watcher.event(trial.work, event)
            if self.plan.event(trial.work, event):
                trial.attempt.request_prune()
        if code is None:
            return
        trial.job.kill()
        self.running.remove(trial)
        result = trial.attempt.result()
        if result is not None:
            self._finish(trial.work, result)
        elif code == DISK_FULL:
            raise DiskFull(home(), self.plan.how_to_go_on)
        else:
            self._without_result(trial, code)

    def _without_result(self, trial: Running, code: int) -> None:
        """Judge a trial that left no result: lost where a signal ended it, else at fault."""
        attempt, work = trial.attempt, trial.work
        signal_number = -code if code < 0 else code - 128  # a shell's way of saying it
        if signal_number <= 0:
            reason = f"it ended with exit code {code} and no result: {_last_line(attempt.log)}"
            result = TrialResult(outcome="code_error", reason=reason)
        else:
            reason = f"attempt {attempt.number} was ended by signal {signal_number}"
            attempt.append_event("end", {"outcome": "lost", "reason": reason})
            lost = _times_lost(work.run)
            if lost <= self.plan.retries:
                self.watcher.note(f"{work.run.id}: {reason}; it goes on in a new attempt")
                self.again.append(work)
                return
            result = TrialResult(outcome="lost", reason=f"lost {lost} times, at last: {reason}")
        attempt.write_result(result)
        self._finish(work, result)

    def _finish(self, work: Work, result: TrialResult) -> None:
        self.watcher.ended(work, result)
        self.plan.finished(work, result)

    def _let_go(self, taken: Collection[str]) -> None:
        """End trials that another driver goes on with; what they say no longer counts."""
        for trial in [trial for trial in self.running if trial.work.run.id in taken]:
            trial.job.kill()
            self.running.remove(trial)
            self.watcher.note(f"{trial.work.run.id}: another driver goes on with it")

    def _leave(self, stop: StopRequest) -> None:
        self._end_all()
        self.watcher.note(f"stopped; to go on: {self.plan.how_to_go_on}")
        raise SystemExit(stop.exit_code)

    def _end_all(self) -> None:
        """Stop every trial: a word first, then by force."""
        for trial in self.running:
            trial.job.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and any(t.job.exit_code() is None for t in self.running):
            time.sleep(POLL_SECONDS)
        for trial in self.running:
            trial.job.kill()
        self.running.clear()


def _times_lost(run: RunDirectory) -> int:
    return sum(
        event["kind"] == "end" and event.get("outcome") == "lost"
        for attempt in run.attempts()
        for event in attempt.events()[0]
    )


def _last_line(log: Path) -> str:
    """Return the last line of a log that says something: of a traceback, the exception."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing was printed")
