"""Trials as processes of this machine, each in a session and a slot of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

from flowbench.run_directory import PARENT, AttemptDirectory, RunDirectory
from flowbench.sweep.launchers.base import Lease, end_leftover, signal_session
from flowbench.sweep.launchers.elsewhere import end_elsewhere
from flowbench.sweep.launchers.forkserver import TrialProgram, trial_server
from flowbench.sweep.launchers.slots import Slot, machine_slots
from flowbench.sweep.memory import OomKills


class Process(Protocol):
    """The leader of a session: forked from a server, or a fresh interpreter."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal that ended it), or None while it runs."""

    def wait(self) -> int:
        """Wait for the end, and return the exit code."""


class LocalJob:
    """A session of processes on this machine, in a slot."""

    def __init__(self, process: Process, slot: Slot, kills: OomKills) -> None:
        self.process = process
        self.slot = slot
        self._kills = kills

    def running(self) -> bool:
        return True

    def exit_code(self) -> int | None:
        return self.process.poll()

    def out_of_memory(self) -> bool:
        return self.process.poll() in (-signal.SIGKILL, 128 + signal.SIGKILL) and self._kills.any()

    def show_stacks(self) -> None:
        self._signal(signal.SIGUSR1)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        # Also after the leader's own end: a rank may have outlived it.
        signal_session(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self.process.poll() is not None:
            return
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:  # a moment after the fork it has no session yet
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)


class LocalLauncher:
    """Runs each trial on this machine, in a session of its own.

    Trials are forked from a server that has everything imported, and ask the kernel to end them
    with it; it asks to be ended with the thread that started it. So trials must be started by the
    driver's main thread.

    Args:
        slots: trials that run side by side.
        devices_per_trial: ranks of each.
        program: what is run.
        fresh_interpreters: start each trial in an interpreter of its own, not from the server.
    """

    def __init__(
        self,
        slots: int = 1,
        devices_per_trial: int = 1,
        program: TrialProgram | None = None,
        *,
        fresh_interpreters: bool = False,
    ) -> None:
        self.slots = machine_slots(slots, devices_per_trial)
        self.program = program or TrialProgram()
        self._server = None if fresh_interpreters else trial_server(self.program)
        self._jobs: list[LocalJob] = []

    def has_room(self) -> bool:
        return len(self._busy()) < len(self.slots)

    def start(self, run: RunDirectory, attempt: AttemptDirectory) -> LocalJob:
        job = self._start([str(run.path), "--attempt", str(attempt.number)], attempt.log)
        with suppress(psutil.NoSuchProcess):  # it ended at once
            Lease.of_process(job.process.pid).write(attempt)
        return job

    def adopt(self, run: RunDirectory, attempt: AttemptDirectory) -> None:
        """End what is left of an attempt: a trial of this machine belongs to its driver's slots."""
        end_leftover(attempt)
        end_elsewhere(run, attempt, "local")

    def start_measuring(self, runs: Sequence[RunDirectory], log: Path) -> LocalJob:
        return self._start(["--speed", *(str(run.path) for run in runs)], log)

    def _start(self, arguments: Sequence[str], log: Path) -> LocalJob:
        busy = self._busy()
        slot = next(slot for slot in self.slots if all(slot is not job.slot for job in busy))
        kills = OomKills()
        process: Process
        if self._server is not None:
            process = self._server.start(arguments, slot.environment(), log)
        else:
            process = self._interpreter(arguments, slot, log)
        job = LocalJob(process, slot, kills)
        self._jobs = [*busy, job]
        return job

    def _interpreter(
        self, arguments: Sequence[str], slot: Slot, log: Path
    ) -> "subprocess.Popen[bytes]":
        with log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, *self.program.words, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**slot.environment(), PARENT: str(os.getpid())},
                start_new_session=True,
            )

    def _busy(self) -> list[LocalJob]:
        return [job for job in self._jobs if job.exit_code() is None]
