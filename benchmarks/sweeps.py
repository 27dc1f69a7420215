"""Sweeps of small real trials, in a home directory of their own, each trial timed."""

import os
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flowbench.database import VARIABLE as STORAGE
from flowbench.run_directory import RunDirectory, TrialResult, home
from flowbench.spec.sweep import SweepSpec
from flowbench.sweep.driver import Driver
from flowbench.sweep.launchers.base import Launcher
from flowbench.sweep.phases import SweepPlan
from flowbench.sweep.progress import Progress
from flowbench.sweep.storage import Storage
from flowbench.sweep.work import Work
from flowbench.tracking.record import open_recorder
from flowbench.tracking.store import VARIABLE as RECORD
from flowbench.tracking.writer import RecordWriter


@contextmanager
def own_home(storage: str | None = None) -> Iterator[Path]:
    """Keep state in a temporary directory, or in a database, and not where the user's is."""
    kept = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="flowbench-bench-") as directory:
        os.environ["FLOWBENCH_HOME"] = directory
        os.environ.pop(RECORD, None)
        os.environ.pop(STORAGE, None)
        if storage is not None:
            os.environ[STORAGE] = storage
        try:
            yield Path(directory)
        finally:
            os.environ.clear()
            os.environ.update(kept)


def small_sweep(
    name: str, *, trials: int, devices: int = 1, training: Mapping[str, Any], rows: int
) -> SweepSpec:
    """Describe a search of one small family on two-dimensional data, by epochs or by seconds.

    Args:
        name: of the sweep.
        trials: how many there can be.
        devices: ranks of each.
        training: `max_seconds`, where a trial ends by them and not after an epoch; other keys.
        rows: of the training split.
    """
    values = dict(training)
    seconds = values.pop("max_seconds", None)
    per_trial = {"unit": "epochs", "per_trial": 1}
    if seconds is not None:
        per_trial = {"unit": "device_seconds", "per_trial": seconds}
    return SweepSpec.model_validate(
        {
            "name": name,
            "data": [{"name": "moons", "train_size": rows}],
            "families": {"planar": {"fixed": {"family.depth": 2}}},
            "search": {"training.learning_rate": {"log": [1e-4, 1e-2]}},
            "sampler": "random",
            "training": values,
            "evaluation": {"inversion_points": 16, "samples": 1},
            "budget": {**per_trial, "trials": trials},
            "confirm": {"seeds": 1},
            "resources": {"devices_per_trial": devices},
        }
    )


class Stopwatch:
    """A sweep's plan that deals out some of its runs at a time, and times each from ask to tell."""

    def __init__(self, plan: SweepPlan) -> None:
        self.plan = plan
        self.retries = 0
        self.how_to_go_on = plan.how_to_go_on
        self.left = 0
        """How many runs are still to be dealt out."""
        self.asked: dict[str, float] = {}
        self.told: dict[str, float] = {}
        """Seconds since 1970 at which each run was asked for, and told of."""
        self.runs: list[RunDirectory] = []
        """Those that were told of."""

    def next(self) -> Work | None:
        if not self.left:
            return None
        began = time.time()
        work = self.plan.next()
        if work is not None:
            self.left -= 1
            self.asked[work.run.id] = began
        return work

    def event(self, work: Work, event: dict[str, Any]) -> bool:
        return self.plan.event(work, event)

    def finished(self, work: Work, result: TrialResult) -> None:
        if result.outcome != "completed":
            raise RuntimeError(f"{work.run.id} was {result.outcome}: {result.reason}")
        self.plan.finished(work, result)
        self.told[work.run.id] = time.time()
        self.runs.append(work.run)

    def tick(self) -> Collection[str]:
        return self.plan.tick()

    @property
    def done(self) -> bool:
        return not self.left

    def go(self, launcher: Launcher, runs: int) -> None:
        """Run so many trials, and wait for them."""
        self.left = runs
        with Progress(self.plan.sweep.name, runs, quiet=True) as progress:
            Driver(self, launcher, progress).run()


@contextmanager
def stopwatch(sweep: SweepSpec) -> Iterator[Stopwatch]:
    """Open a sweep with everything that `flowbench sweep run` has, its record included."""
    storage = Storage()
    with storage.leases(sweep.name) as leases, RecordWriter(open_recorder()) as record:
        yield Stopwatch(
            SweepPlan(sweep, home(), storage.studies(), leases=leases, record=record, defaults={})
        )
