"""One trial as its driver sees it: what it says, whether it still moves, how it ended."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowbench.run_directory import AttemptDirectory, RunDirectory, Sign, TrialResult
from flowbench.spec.sweep import Resources
from flowbench.spec.vocabulary import Outcome
from flowbench.sweep.launchers.base import Job
from flowbench.sweep.work import Work

LOOK_SECONDS = 1.0
"""Between looks at a trial's signs of life: it shows them no more often."""


@dataclass
class FollowedTrial:
    """A trial that runs."""

    work: Work
    attempt: AttemptDirectory
    job: Job
    limits: Resources
    given_up: TrialResult | None = None
    """Its end, where the driver has decided it."""
    kill_at: float = 0.0
    """When it is killed then."""
    _offset: int = 0
    """How much of `events.jsonl` was read."""
    _began: float | None = None
    """When it was first seen to run, and not to wait in a queue; by this process's clock."""
    _moved: float = field(default_factory=time.monotonic)
    """When it last showed that it goes on."""
    _looked: float = 0.0
    _sign: Sign | None = None

    def new_events(self) -> list[dict[str, Any]]:
        """Return what the trial said since the last call."""
        events, self._offset = self.attempt.events(self._offset)
        if events:
            self._moved = time.monotonic()
        return events

    def overdue(self) -> TrialResult | None:
        """Return the result that a trial deserves which hangs or takes too long, else None."""
        if not self.job.running():
            return None
        now = time.monotonic()
        if self._began is None:
            self._began = self._moved = now
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            sign = self.attempt.sign()
            if sign != self._sign:
                self._sign, self._moved = sign, now
        hang, limit = self.limits.hang_seconds, self.limits.trial_seconds
        if limit is not None and now - self._began > limit:
            return self.result("timed_out", f"it took longer than {limit:g} seconds")
        if hang is not None and now - self._moved > hang:
            steps = "its first step" if self._sign is None else f"step {self._sign.steps}"
            reason = f"it hung: no sign of progress for {hang:g} seconds, after {steps}"
            return self.result("timed_out", reason)
        return None

    def result(self, outcome: Outcome, reason: str) -> TrialResult:
        """Return a result in place of one that the trial did not write."""
        seconds = 0.0 if self._began is None else time.monotonic() - self._began
        return TrialResult(
            outcome=outcome,
            reason=reason,
            steps=0 if self._sign is None else self._sign.steps,
            seconds=seconds,
            device_seconds=seconds * self.work.spec.training.devices,
        )

    def end_without_result(self, code: int) -> TrialResult:
        """Judge a trial that left no result: lost where a signal ended it, else at fault."""
        if self.given_up is not None:
            return self.given_up
        number = ending_signal(code)
        if number is None:
            line = _last_line(self.attempt.log)
            return self.result(
                "code_error", f"it ended with exit code {code} and no result: {line}"
            )
        if self.job.out_of_memory():
            return self.result("out_of_memory", "the machine ran out of memory and ended it")
        reason = f"attempt {self.attempt.number} was ended by signal {number}"
        return self.result("lost", reason)


def ending_signal(code: int) -> int | None:
    """Return the signal that an exit code tells of, in Python's way or a shell's."""
    number = -code if code < 0 else code - 128
    return number if number > 0 else None


def times_lost(run: RunDirectory) -> int:
    """Return how many attempts at a run were lost."""
    return sum(
        event["kind"] == "end" and event.get("outcome") == "lost"
        for attempt in run.attempts()
        for event in attempt.events()[0]
    )


def _last_line(log: Path) -> str:
    """Return the last line of a log that says something: of a traceback, the exception."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing was printed")
