"""One run by itself: the same launcher, protocol and record as a sweep's trials."""

import re
import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from flowbench.errors import InputError
from flowbench.run_directory import RunDirectory, TrialResult, home
from flowbench.spec.run import RunSpec
from flowbench.spec.sweep import slug
from flowbench.sweep.directory import SweepDirectory
from flowbench.sweep.driver import Driver
from flowbench.sweep.launchers.base import Launcher
from flowbench.sweep.launchers.local import LocalLauncher
from flowbench.sweep.locks import Holder, held, holder
from flowbench.sweep.progress import Progress
from flowbench.sweep.replay import replay_of
from flowbench.sweep.work import Work
from flowbench.tracking.provenance import Provenance, git_commit
from flowbench.tracking.record import open_recorder

BAD_INPUT = 2


class SinglePlan:
    """One run, and no more."""

    def __init__(self, work: Work) -> None:
        self._waiting: list[Work] = [work]
        self.how_to_go_on = f"flowbench train {work.run.path / 'spec.json'}"
        self.result: TrialResult | None = None
        self.bad_input = False

    def next(self) -> Work | None:
        return self._waiting.pop() if self._waiting else None

    def event(self, work: Work, event: dict[str, Any]) -> bool:
        self.bad_input |= event["kind"] == "end" and event.get("exit_code") == BAD_INPUT
        return False

    def finished(self, work: Work, result: TrialResult) -> None:
        self.result = result

    def tick(self) -> tuple[()]:
        return ()

    @property
    def done(self) -> bool:
        return not self._waiting


def new_run_id(spec: RunSpec) -> str:
    """Return an unused name for a run: its family, its data and the time."""
    data = spec.data
    name = data.name or Path(data.path or data.train or "").stem
    stem = f"{slug(spec.family.name)}-{slug(name)}-{datetime.now():%Y%m%d-%H%M%S}"
    number, run_id = 1, stem
    while (home() / run_id).exists():
        number += 1
        run_id = f"{stem}-{number}"
    return run_id


def run_single(
    spec: RunSpec,
    run_id: str | None = None,
    *,
    repeats: RunDirectory | None = None,
    launcher: Launcher | None = None,
    quiet: bool = False,
) -> TrialResult:
    """Train and measure one run in a process of its own, and record it.

    Args:
        spec: the run, its family's keys resolved.
        run_id: a name of letters, digits, `.`, `-` and `_`; one is made where None is given. A run
            of this name and specification that was stopped goes on from its last checkpoint.
        repeats: a finished run of this specification: its threads and its pace are kept, so that
            on the same device the losses are the same.
        launcher: where it runs; this machine by default.
        quiet: show no progress.

    Raises:
        InputError: if the trial found a mistake in its input, or the name is taken.
    """
    run_id = run_id or new_run_id(spec)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", run_id):
        raise InputError(f"run id {run_id!r}: letters, digits, ., - and _ are allowed")
    run = RunDirectory(home() / run_id)
    lock = run.path / "driver.lock"
    with held(lock) as mine:
        driver = _sweep_driver(run) if mine else holder(lock)
        if driver is not None:
            raise InputError(f"{run_id} is being run by process {driver.pid}")
        if (run.path / "spec.json").is_file() and (run.spec().hash != spec.hash or run.result()):
            raise InputError(f"run id {run_id!r}: a run of this name exists")
        replay = None if repeats is None else replay_of(repeats)
        if replay is not None:
            run.write_replay(replay)
        return _run(run, spec, launcher, quiet=quiet)


def _sweep_driver(run: RunDirectory) -> Holder | None:
    """Return the driver that runs the sweep which a run belongs to."""
    sweep = Provenance.read(run).sweep
    drivers = SweepDirectory(home() / sweep).drivers() if sweep else []
    return drivers[0] if drivers else None


def _run(
    run: RunDirectory, spec: RunSpec, launcher: Launcher | None, *, quiet: bool
) -> TrialResult:
    why = Provenance(git_commit=git_commit(), command=shlex.join(sys.argv))
    plan = SinglePlan(Work(run, spec, why))
    progress = Progress(run.id, expected=1, quiet=quiet)
    with progress:
        Driver(
            plan, launcher or LocalLauncher(devices_per_trial=spec.training.devices), progress
        ).run()
    if plan.result is None:
        raise RuntimeError(f"{run.id} ended without a result")
    if plan.bad_input:
        raise InputError(plan.result.reason)
    open_recorder().sync([run])
    return plan.result
