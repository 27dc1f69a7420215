"""Trials as processes of this machine, each in a session and a slot of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from flowbench.run_directory import AttemptDirectory, RunDirectory
from flowbench.sweep.launchers.base import Lease, end_leftover, signal_session
from flowbench.sweep.launchers.slots import Slot, machine_slots

TRIAL_PROGRAM = (sys.executable, "-m", "flowbench.trial")


class LocalJob:
    """A process group on this machine."""

    def __init__(self, process: "subprocess.Popen[bytes]", slot: Slot) -> None:
        self.process = process
        self.slot = slot

    def running(self) -> bool:
        return True

    def exit_code(self) -> int | None:
        return self.process.poll()

    def out_of_memory(self) -> bool:
        return False

    def show_stacks(self) -> None:
        signal_session(self.process.pid, signal.SIGUSR1)

    def terminate(self) -> None:
        if self.process.poll() is None:
            signal_session(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        # Also after the leader's own end: a rank may have outlived it.
        signal_session(self.process.pid, signal.SIGKILL)
        self.process.wait()


class LocalLauncher:
    """Runs each trial in a fresh interpreter on this machine, in a session of its own.

    The trial asks the kernel to end it with its parent, so it must be started by the driver's main
    thread: the kernel watches the thread, not the process.
    """

    def __init__(
        self,
        slots: int = 1,
        devices_per_trial: int = 1,
        program: Sequence[str] = TRIAL_PROGRAM,
    ) -> None:
        self.slots = machine_slots(slots, devices_per_trial)
        self.program = tuple(program)
        self._jobs: list[LocalJob] = []

    def has_room(self) -> bool:
        return len(self._busy()) < len(self.slots)

    def start(self, run: RunDirectory, attempt: AttemptDirectory) -> LocalJob:
        job = self._start([str(run.path), "--attempt", str(attempt.number)], attempt.log)
        Lease.of_process(job.process.pid).write(attempt)
        return job

    def adopt(self, run: RunDirectory, attempt: AttemptDirectory) -> None:
        """End what is left of an attempt: its driver was its only way to this machine's slots."""
        end_leftover(attempt)

    def start_measuring(self, runs: Sequence[RunDirectory], log: Path) -> LocalJob:
        return self._start(["--speed", *(str(run.path) for run in runs)], log)

    def _start(self, arguments: Sequence[str], log: Path) -> LocalJob:
        busy = self._busy()
        slot = next(slot for slot in self.slots if all(slot is not job.slot for job in busy))
        environment = {**slot.environment(), "FLOWBENCH_DRIVER": str(os.getpid())}
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [*self.program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        job = LocalJob(process, slot)
        self._jobs = [*busy, job]
        return job

    def _busy(self) -> list[LocalJob]:
        return [job for job in self._jobs if job.exit_code() is None]
