"""The event loop that runs trials: starts them, follows their events, judges how they ended."""

import contextlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flowbench.run_directory import (
    DISK_FULL,
    AttemptDirectory,
    RunDirectory,
    Terms,
    TrialResult,
    home,
)
from flowbench.spec.sweep import Resources
from flowbench.sweep.disk import DiskFull, sentence_when_full
from flowbench.sweep.followed import FollowedTrial, times_lost
from flowbench.sweep.launchers.base import Launcher
from flowbench.sweep.stopping import StopRequest, stop_requests
from flowbench.sweep.work import Plan, Watcher, Work

POLL_SECONDS = 0.02
"""Between two rounds of the loop, or twice what a round took, if that is more."""
GRACE_SECONDS = 10.0
"""Time that trials have to end by themselves when the driver stops."""
STACKS_SECONDS = 1.0
"""Time that a trial has to write where it hangs before it is killed."""
VERDICT_SECONDS = 30.0
"""How long a trial waits to be judged before it takes its driver for gone."""


@dataclass
class Driver:
    """Runs a plan's work on a launcher, in one thread."""

    plan: Plan
    launcher: Launcher
    watcher: Watcher
    stop_file: Path | None = None
    """Where it is there, the driver stops as on SIGTERM."""
    limits: Resources = field(default_factory=Resources)
    """How often a lost trial is begun anew, and what each attempt may take."""
    running: list[FollowedTrial] = field(default_factory=list)
    again: list[Work] = field(default_factory=list)
    """Lost runs, to be started anew."""

    def run(self) -> None:
        """Do all the work there is.

        Raises:
            DiskFull: where no space is left; finished work is kept.
            SystemExit: with 130 or 143 after Ctrl-C or SIGTERM; trials were stopped, and go on
                from their last checkpoint when the plan is run again.
        """
        with (
            stop_requests(self.stop_file) as stop,
            sentence_when_full(home(), self.plan.how_to_go_on),
        ):
            try:
                while self._start_what_fits(stop) or self.running or not self.plan.done:
                    began = time.monotonic()
                    for trial in list(self.running):
                        self._follow(trial)
                    self._let_go(self.plan.tick())
                    self.watcher.tick()
                    if stop:
                        self._leave(stop)
                    time.sleep(max(POLL_SECONDS, 2 * (time.monotonic() - began)))
            finally:
                self._end_all()

    def measure(self, runs: Sequence[RunDirectory], log: Path) -> None:
        """Measure the sampling speed of finished runs, one at a time, with nothing else running.

        A run that ends the measuring process is noted as failed, and the others go on.
        """
        with (
            stop_requests(self.stop_file) as stop,
            sentence_when_full(home(), self.plan.how_to_go_on),
        ):
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
            job = self.launcher.adopt(run, attempt)
            if job is not None and attempt.result() is not None:
                job.kill()  # it has ended; what an engine still keeps for it is given back
            elif job is not None:
                self.running.append(FollowedTrial(work, attempt, job, self.limits))
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
        verdict_seconds = VERDICT_SECONDS if work.judged else None
        terms = Terms(memory_gib=self.limits.memory_gib, verdict_seconds=verdict_seconds)
        attempt.write_terms(terms)
        job = self.launcher.start(run, attempt)
        self.running.append(FollowedTrial(work, attempt, job, self.limits))
        self.watcher.started(work, attempt.number)

    def _replay(self, work: Work, attempt: AttemptDirectory) -> None:
        """Note what an earlier attempt said, in case its driver did not live to."""
        for event in attempt.events()[0]:
            self.plan.event(work, event)

    def _follow(self, trial: FollowedTrial) -> None:
        """Read what a trial said, and judge it if it has ended."""
        code = trial.job.exit_code()  # before reading: nothing is written after the end
        for event in trial.new_events():
            self.watcher.event(trial.work, event)
            if self.plan.event(trial.work, event):
                trial.attempt.request_prune()
            if trial.work.judged and event["kind"] == "validation":
                trial.attempt.tell_judged(event["step"])
        if code is None:
            self._hold_to_limits(trial)
            return
        trial.job.kill()
        self.running.remove(trial)
        result = trial.attempt.result()
        if result is None and code == DISK_FULL:
            raise DiskFull(home(), self.plan.how_to_go_on)
        result = result or self._without_result(trial, code)
        if result is not None:
            self._finish(trial.work, result)

    def _hold_to_limits(self, trial: FollowedTrial) -> None:
        """Give up a trial that hangs or takes too long: its log gets where it is, then it ends."""
        if trial.given_up is None:
            trial.given_up = trial.overdue()
            if trial.given_up is not None:
                trial.job.show_stacks()
                trial.kill_at = time.monotonic() + STACKS_SECONDS
        elif time.monotonic() > trial.kill_at:
            trial.job.kill()

    def _without_result(self, trial: FollowedTrial, code: int) -> TrialResult | None:
        """Write the result of a trial that left none; None where it goes on in a new attempt."""
        attempt, work = trial.attempt, trial.work
        result = trial.end_without_result(code)
        attempt.append_event("end", {"outcome": result.outcome, "reason": result.reason})
        if result.outcome == "lost":
            lost = times_lost(work.run)
            if lost <= self.limits.retries:
                self.watcher.note(f"{work.run.id}: {result.reason}; it goes on in a new attempt")
                self.again.append(work)
                return None
            reason = f"lost {lost} times, at last: {result.reason}"
            result = result.model_copy(update={"reason": reason})
        attempt.write_result(result)
        return result

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
        how = f"to go on: {self.plan.how_to_go_on}"
        with contextlib.suppress(OSError):  # the terminal may be what is gone
            self.watcher.note(f"stopping {len(self.running)} trials (Ctrl-C: at once); {how}")
        self._end_all()
        with contextlib.suppress(OSError):
            self.watcher.note(f"stopped; {how}")
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
