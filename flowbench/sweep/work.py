"""What a driver runs, whom it asks what to run, and who looks on."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from flowbench.run_directory import RunDirectory, TrialResult
from flowbench.spec.run import RunSpec
from flowbench.tracking.provenance import Provenance


@dataclass(frozen=True)
class Work:
    """One run to do."""

    run: RunDirectory
    spec: RunSpec
    provenance: Provenance
    attempt: int = 0
    """The least number of its next attempt: others may have been made where this host cannot see
    them yet."""
    judged: bool = False
    """Whether it waits at each validation for the word to go on: what prunes it is the same each
    time then."""


class Plan(Protocol):
    """What to run, and what to do with the results."""

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
