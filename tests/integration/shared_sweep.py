"""Sweeps of tiny real trials, run by `flowbench sweep` in processes of their own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flowbench.run_directory import RunDirectory

PATIENCE = 240
"""Seconds within which what is waited for must have happened."""


def sweep_file(
    path: Path, *, trials: int, families=("nice", "realnvp"), data=("moons",), **changes
) -> Path:
    """Write a sweep whose trials take a second or two each."""
    values = {
        "name": "shared",
        "data": [{"name": name, "train_size": 256} for name in data],
        "search": {"training.learning_rate": {"log": [1e-3, 1e-2]}},
        "families": {
            name: {"fixed": {"family.depth": 2, "family.hidden": [8]}} for name in families
        },
        "training": {"batch_size": 64},
        "evaluation": {"samples": 4, "speed_batches": [1]},
        "sampler": "random",
        "budget": {"unit": "epochs", "per_trial": 1, "trials": trials},
        "confirm": {"seeds": 1},
    }
    file = path / "shared.json"
    file.write_text(json.dumps(values | changes))
    return file


class Driver:
    """A `flowbench sweep ...` that runs."""

    def __init__(self, *words: object, log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flowbench.cli", "sweep", *map(str, words)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip

    def said(self) -> str:
        return self.log.read_text()

    def wait(self) -> None:
        """Wait for a good end."""
        assert self.process.wait(PATIENCE) == 0, self.said()


@contextmanager
def drivers(path: Path) -> Iterator[Callable[..., Driver]]:
    """Start drivers, whose logs are under `path`; whatever is left of them ends with the block."""
    started: list[Driver] = []

    def start(*words: object) -> Driver:
        started.append(Driver(*words, log=path / f"driver-{len(started)}.log"))
        return started[-1]

    try:
        yield start
    finally:
        for driver in started:
            driver.process.kill()
            driver.process.wait()


def runs_of(home: Path) -> dict[str, RunDirectory]:
    return {path.parent.name: RunDirectory(path.parent) for path in home.glob("shared.*/spec.json")}


def finished(home: Path) -> int:
    return sum(run.result() is not None for run in runs_of(home).values())


def wait_for(home: Path, count: int, *drivers: Driver) -> None:
    """Wait until so many runs are finished."""
    deadline = time.monotonic() + PATIENCE
    while finished(home) < count:
        assert time.monotonic() < deadline, [driver.said() for driver in drivers]
        assert all(driver.process.poll() is None for driver in drivers), [d.said() for d in drivers]
        time.sleep(0.1)
