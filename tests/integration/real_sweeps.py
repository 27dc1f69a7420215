"""Sweeps of tiny real trials, driven by `flowbench sweep` in processes of their own."""

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import psutil
from services.processes import start

from flowbench.run_directory import AttemptDirectory, RunDirectory
from flowbench.sweep.audit import audit
from flowbench.sweep.launchers.base import Lease

PATIENCE = 300
"""Seconds within which what is waited for must have happened."""
MARK = "FLOWBENCH_TEST_SWEEP"
"""Environment of a sweep's processes, those forked among them: whose they are."""
HERE = Path(__file__).parent

VALUES = {
    "data": [{"name": "moons", "train_size": 256}],
    "search": {"training.learning_rate": {"log": [1e-3, 1e-2]}},
    "training": {"batch_size": 64, "warmup_steps": 10},
    "evaluation": {"samples": 4, "speed_batches": [1]},
    "sampler": "random",
    "budget": {"unit": "epochs", "per_trial": 20, "trials": 6},
    "confirm": {"seeds": 1},
    "resources": {"slots": 2},
}
"""What sweeps here have in common: trials of a second or two."""
FAMILIES = {
    "nice": {"fixed": {"family.depth": 2, "family.hidden": [8]}},
    "planar": {"fixed": {"family.depth": 2}},
}


class RealSweep:
    """A sweep, its driver and all that is left of them.

    Args:
        home: where its state is kept; `FLOWBENCH_HOME` of this process too, for what reads it.
        name: the sweep's.
        **changes: to `VALUES`.
    """

    def __init__(self, home: Path, name: str, **changes: object) -> None:
        self.home = home
        self.name = name
        self.file = home.with_name(f"{name}.json")
        self.file.write_text(json.dumps({"name": name, "families": FAMILIES} | VALUES | changes))
        self.log = home.with_name(f"{name}.log")
        self.driver: subprocess.Popen[bytes] | None = None
        self._mark = uuid.uuid4().hex

    def run(self) -> None:
        """Start `flowbench sweep run`."""
        self._start("run", str(self.file))

    def resume(self) -> None:
        """Start `flowbench sweep resume`."""
        self._start("resume", self.name)

    def _start(self, *words: str) -> None:
        path = os.pathsep.join([str(HERE), str(HERE.parent)])
        environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, MARK: self._mark}
        command = [sys.executable, "-m", "flowbench.cli", "sweep", *words]
        home = {"FLOWBENCH_HOME": str(self.home)}
        self.driver = start(command, log=self.log, env={**os.environ, **home, **environment})

    def end(self) -> int:
        """Wait for the driver's end; return its exit code."""
        try:
            return self.driver.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._give_up("the driver has not ended")

    def said(self) -> str:
        """Return what all drivers printed."""
        return self.log.read_text()

    def until(self, what: Callable[[], bool]) -> None:
        """Wait, while the driver runs, until something holds."""
        deadline = time.monotonic() + PATIENCE
        while not what():
            if self.driver.poll() is not None:
                self._give_up("the driver has ended")
            if time.monotonic() > deadline:
                self._give_up("what is waited for has not happened")
            time.sleep(0.02)

    def _give_up(self, reason: str) -> NoReturn:
        """End the sweep, which has failed its test."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        raise AssertionError(f"{reason}: {self.said()}")

    def until_finished(self, count: int) -> None:
        """Wait until so many runs are finished."""
        self.until(lambda: len(self.finished()) >= count)

    def runs(self) -> dict[str, RunDirectory]:
        """Return the runs that were started, by name."""
        found = sorted(self.home.glob(f"{self.name}.*/spec.json"))
        return {path.parent.name: RunDirectory(path.parent) for path in found}

    def finished(self) -> dict[str, str]:
        """Return the results that there are, as they are written."""
        found = self.home.glob(f"{self.name}.*/attempt-*/result.json")
        return {str(path.relative_to(self.home)): path.read_text() for path in sorted(found)}

    def outcomes(self) -> dict[str, str]:
        """Return how each run ended."""
        return {name: run.result().outcome for name, run in self.runs().items()}

    def count(self) -> Counter[str]:
        """Return how many runs ended how."""
        return Counter(self.outcomes().values())

    def training(self) -> list[tuple[AttemptDirectory, psutil.Process]]:
        """Return the attempts that have a checkpoint and have not ended, and their leaders."""
        found = []
        for run in self.runs().values():
            attempt = run.attempts()[-1] if run.attempts() else None
            lease = Lease.read(attempt) if attempt is not None else None
            if lease is None or attempt.result() is not None or not lease.alive:
                continue
            if (attempt.checkpoints / "resume.ckpt").is_file():
                found.append((attempt, psutil.Process(lease.pid)))
        return found

    def processes(self) -> list[psutil.Process]:
        """Return what runs of this sweep, whoever is its parent now; a zombie does not run."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get(MARK) == self._mark
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def orphans(self) -> list[psutil.Process]:
        """Return what still runs ten seconds after the driver's end: nothing should."""
        deadline = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def disagreements(self) -> list[str]:
        """Compare run directories, Optuna's studies and the record."""
        return audit(self.name)


def validations(attempt: AttemptDirectory) -> list[dict]:
    """Return the validations of an attempt."""
    return [event for event in attempt.events()[0] if event["kind"] == "validation"]


def was_lost(attempt: AttemptDirectory) -> bool:
    """Say whether an attempt was ended from outside, and its driver has seen it."""
    ends = [event for event in attempt.events()[0] if event["kind"] == "end"]
    return [end["outcome"] for end in ends] == ["lost"]
