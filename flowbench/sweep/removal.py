"""Removing runs and whole sweeps, but none that something else still needs."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from flowbench.errors import InputError
from flowbench.run_directory import RunDirectory, home
from flowbench.sweep.directory import SweepDirectory
from flowbench.sweep.status import RUNNING, run_state, sweep_runs
from flowbench.sweep.storage import Storage
from flowbench.tracking.provenance import Provenance
from flowbench.tracking.removal import forget


@dataclass(frozen=True)
class Removal:
    """What goes: whole sweeps, and runs (those of the sweeps among them)."""

    sweeps: tuple[SweepDirectory, ...]
    runs: tuple[RunDirectory, ...]


def plan_removal(names: Sequence[str], *, force: bool = False) -> Removal:
    """Say what removing runs or sweeps of these names takes away.

    Args:
        names: of runs, or of sweeps: a sweep goes with all its runs.
        force: also what a report, a parent sweep or another run still needs.

    Raises:
        InputError: for a name that is neither, for what still runs, and for what is still needed
            unless forced.
    """
    sweeps, runs = [], []
    for name in dict.fromkeys(names):
        path = home() / name
        if (path / "sweep.json").is_file():
            sweeps.append(SweepDirectory(path))
            runs += sweep_runs(name)
        elif (path / "spec.json").is_file() and path.parent == home():
            runs.append(RunDirectory(path))
        else:
            raise InputError(f"{name}: neither a run nor a sweep under {home()}")
    removal = Removal(tuple(sweeps), tuple({run.id: run for run in runs}.values()))
    for sweep in removal.sweeps:
        if (driver := sweep.driver()) is not None:
            raise InputError(f"{sweep.path.name} is being run by process {driver}")
    for run in removal.runs:
        if run_state(run) == RUNNING:
            raise InputError(f"{run.id} is running")
    needed = None if force else _needed(removal)
    if needed is not None:
        raise InputError(f"{needed}; --force removes it all the same")
    return removal


def remove(removal: Removal, storage: Storage, tracking_uri: str) -> None:
    """Take runs out of the record, sweeps out of their storage, and both off the disk.

    The directories go last: what was cut off can be done again.

    Raises:
        InputError: if a sweep's state is in another storage.
    """
    names = [sweep.path.name for sweep in removal.sweeps]
    for sweep in removal.sweeps:
        sweep.keep_in(storage.described)
    forget(tracking_uri, [*(run.id for run in removal.runs), *names])
    for name in names:
        storage.forget(name)
    for path in [run.path for run in removal.runs] + [sweep.path for sweep in removal.sweeps]:
        shutil.rmtree(path)


def _ended(run: RunDirectory) -> float:
    """Return when a run got its result; infinity where it has none, and so is in no report."""
    results = [attempt.path / "result.json" for attempt in run.attempts()]
    return max((path.stat().st_mtime for path in results if path.is_file()), default=math.inf)


def _needed(removal: Removal) -> str | None:
    """Return why something must stay, in the words of a sentence; None where nothing must."""
    going = {run.id for run in removal.runs}
    whole = {sweep.path.name for sweep in removal.sweeps}
    for run in removal.runs:
        sweep = Provenance.read(run).sweep
        for report in {sweep or "all", "all"}:
            page = home() / "reports" / report / "index.html"
            if page.is_file() and _ended(run) <= page.stat().st_mtime:
                return f"{run.id} is in the report {page}"
        if sweep and sweep not in whole and (home() / sweep / "sweep.json").is_file():
            return f"{run.id} is a part of the sweep {sweep}"
    for path in sorted(home().glob("*/provenance.json")):
        other = RunDirectory(path.parent)
        source = Provenance.read(other).reuses
        if source in going and other.id not in going:
            return f"{other.id} goes by the result of {source}"
    return None
