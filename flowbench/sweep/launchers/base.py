"""What a place to run trials offers its driver, and the lease that says who has a trial."""

import os
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import psutil
from pydantic import BaseModel, ConfigDict

from flowbench.run_directory import AttemptDirectory, RunDirectory, write_atomically
from flowbench.spec.sweep import Engine


class Job(Protocol):
    """A started trial."""

    def running(self) -> bool:
        """Say whether it has begun: a cluster's trial may still wait in its queue."""

    def exit_code(self) -> int | None:
        """Return the exit code (negative: the signal that ended it), or None while it runs."""

    def out_of_memory(self) -> bool:
        """Say, after the end, whether the machine ended it because memory ran out."""

    def show_stacks(self) -> None:
        """Have the trial's processes write into the log where they are."""

    def terminate(self) -> None:
        """Ask the trial and its ranks to stop."""

    def kill(self) -> None:
        """End the trial and whatever is left of its ranks."""


class Launcher(Protocol):
    """Something that runs trials."""

    def has_room(self) -> bool:
        """Say whether another trial can start now."""

    def start(self, run: RunDirectory, attempt: AttemptDirectory) -> Job:
        """Start a trial, whose directories exist, and write its lease."""

    def adopt(self, run: RunDirectory, attempt: AttemptDirectory) -> Job | None:
        """Take over an attempt that an earlier driver started.

        Returns:
            The trial where its engine still knows it; None where it does not, or ended it.
        """

    def start_measuring(self, runs: Sequence[RunDirectory], log: Path) -> Job:
        """Start measuring the sampling speed of finished runs, one after the other, alone."""


class Lease(BaseModel):
    """Who runs an attempt: `lease.json` in its directory."""

    model_config = ConfigDict(frozen=True)

    engine: Engine = "local"
    host: str
    """Where the driver runs."""
    handle: str
    """The engine's name of the trial: a process, a Ray actor, a Slurm job."""
    started: float
    """In seconds since 1970; of a process, its creation time: a later one may get its number."""

    @staticmethod
    def path(attempt: AttemptDirectory) -> Path:
        return attempt.path / "lease.json"

    @classmethod
    def of_process(cls, pid: int) -> "Lease":
        """Return the lease of a process of this host.

        Raises:
            psutil.NoSuchProcess: if it is gone already.
        """
        created = psutil.Process(pid).create_time()
        return cls(host=socket.gethostname(), handle=str(pid), started=created)

    @classmethod
    def read(cls, attempt: AttemptDirectory) -> "Lease | None":
        path = cls.path(attempt)
        return cls.model_validate_json(path.read_text()) if path.is_file() else None

    def write(self, attempt: AttemptDirectory) -> None:
        write_atomically(self.path(attempt), self.model_dump_json())

    @property
    def pid(self) -> int:
        """The process of a local trial: the leader of its session."""
        return int(self.handle)

    @property
    def alive(self) -> bool:
        """Whether a local trial's process still runs, on this host."""
        if self.engine != "local" or self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            running = process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        return running and abs(process.create_time() - self.started) < 1


def end_leftover(attempt: AttemptDirectory) -> None:
    """Kill what an earlier driver left running of a local attempt, its ranks included."""
    lease = Lease.read(attempt)
    if lease is None or not lease.alive:
        return
    signal_session(lease.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while lease.alive and time.monotonic() < deadline:  # a zombie is not alive
        time.sleep(0.02)


def signal_session(pid: int, number: signal.Signals) -> None:
    """Signal the session that process `pid` leads; nothing if it is gone."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return
