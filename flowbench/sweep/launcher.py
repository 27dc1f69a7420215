"""Trials as processes: where they run, and how they are started, watched and stopped."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
from pydantic import BaseModel, ConfigDict

from flowbench.run_directory import AttemptDirectory, RunDirectory, write_atomically

TRIAL_PROGRAM = (sys.executable, "-m", "flowbench.trial")


class Job(Protocol):
    """A started trial."""

    def exit_code(self) -> int | None:
        """Return the exit code (negative: the signal that ended it), or None while it runs."""

    def terminate(self) -> None:
        """Ask the trial and its ranks to stop."""

    def kill(self) -> None:
        """End the trial and whatever is left of its ranks."""


class Launcher(Protocol):
    """Something that runs trials."""

    def has_room(self) -> bool:
        """Say whether another trial can start now."""

    def start(self, run: RunDirectory, attempt: AttemptDirectory) -> Job:
        """Start a trial; its directories exist."""

    def start_measuring(self, runs: Sequence[RunDirectory], log: Path) -> Job:
        """Start measuring the sampling speed of finished runs, one after the other, alone."""


class Lease(BaseModel):
    """Which process has an attempt: `lease.json` in its directory."""

    model_config = ConfigDict(frozen=True)

    host: str
    pid: int
    started: float
    """The process's creation time: a later process may get the same number."""

    @staticmethod
    def path(attempt: AttemptDirectory) -> Path:
        return attempt.path / "lease.json"

    @classmethod
    def read(cls, attempt: AttemptDirectory) -> "Lease | None":
        path = cls.path(attempt)
        return cls.model_validate_json(path.read_text()) if path.is_file() else None

    @property
    def alive(self) -> bool:
        """Whether the process still runs, on this host."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            running = process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        return running and abs(process.create_time() - self.started) < 1


def end_leftover(attempt: AttemptDirectory) -> None:
    """Kill what an earlier driver left running of an attempt, its ranks included."""
    lease = Lease.read(attempt)
    if lease is None or not lease.alive:
        return
    _signal_group(lease.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while lease.alive and time.monotonic() < deadline:  # a zombie is not alive
        time.sleep(0.02)


@dataclass(frozen=True)
class Slot:
    """A share of the machine."""

    devices: tuple[str, ...]
    """GPUs as `CUDA_VISIBLE_DEVICES` names them; empty on a machine without."""
    threads: int
    """CPU threads of each rank."""

    def environment(self) -> dict[str, str]:
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        if self.devices:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.devices)
        return environment


def machine_slots(slots: int, devices_per_trial: int) -> list[Slot]:
    """Divide this machine's GPUs, in turn, and its CPU threads among the slots."""
    gpus = _gpus()
    cores = len(os.sched_getaffinity(0))
    threads = max(1, cores // (slots * devices_per_trial))
    shares = [
        tuple(gpus[(slot * devices_per_trial + k) % len(gpus)] for k in range(devices_per_trial))
        if gpus
        else ()
        for slot in range(slots)
    ]
    return [Slot(devices=tuple(dict.fromkeys(share)), threads=threads) for share in shares]


def _gpus() -> list[str]:
    """Return the GPUs that a trial may use, without loading torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device.strip()]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)  # noqa: S603
    found = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(found))]


class LocalJob:
    """A process group on this machine."""

    def __init__(self, process: "subprocess.Popen[bytes]", slot: Slot) -> None:
        self.process = process
        self.slot = slot

    def exit_code(self) -> int | None:
        return self.process.poll()

    def terminate(self) -> None:
        if self.process.poll() is None:
            _signal_group(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        # Also after the leader's own end: a rank may have outlived it.
        _signal_group(self.process.pid, signal.SIGKILL)
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
        created = psutil.Process(job.process.pid).create_time()
        lease = Lease(host=socket.gethostname(), pid=job.process.pid, started=created)
        write_atomically(Lease.path(attempt), lease.model_dump_json())
        return job

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


def _signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the session that process `pid` leads; nothing if it is gone."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return
