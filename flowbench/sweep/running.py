"""Running a whole sweep, and going on with one."""

import time

from flowbench.errors import InputError, RunFailed
from flowbench.run_directory import home
from flowbench.spec.sweep import SweepSpec
from flowbench.sweep.directory import SweepDirectory
from flowbench.sweep.disk import sentence_when_full
from flowbench.sweep.driver import Driver
from flowbench.sweep.launchers import open_launcher
from flowbench.sweep.launchers.base import Launcher
from flowbench.sweep.leases import Leases
from flowbench.sweep.phases import Defaults, SweepPlan
from flowbench.sweep.progress import Progress
from flowbench.sweep.resolving import resolve_families
from flowbench.sweep.status import SweepStatus, expected_runs, sweep_runs, sweep_status
from flowbench.sweep.storage import Storage
from flowbench.sweep.warm import check_warm_start
from flowbench.tracking.record import open_recorder
from flowbench.tracking.writer import RecordWriter

OPENING_SECONDS = 300.0
"""Time that another driver may take to check the sweep and make its studies."""


def run_sweep(
    sweep: SweepSpec,
    *,
    launcher: Launcher | None = None,
    defaults: Defaults | None = None,
    storage: Storage | None = None,
    quiet: bool = False,
) -> SweepStatus:
    """Tune every family on every data set, confirm the best, measure speed; resume where it exists.

    Several drivers may run one sweep at once where its state is in a shared database; each run is
    done by one of them.

    Args:
        sweep: the sweep.
        launcher: where trials run; this machine's slots by default.
        defaults: the families' defaults; by default a process of its own checks every key of every
            family and finds them.
        storage: where the sweep's state is; by default where the environment says.
        quiet: show no progress.

    Raises:
        InputError: for a key that does not belong to its family, an unknown data set, another
            sweep of this name, a driver that runs it already, or a full disk.
        RunFailed: if no family has a single sound trial, or the database went away for good.
        SystemExit: with 130 or 143 when it was stopped.
    """
    directory = SweepDirectory(home() / sweep.name)
    how_to_go_on = f"flowbench sweep resume {sweep.name}"
    storage = storage or Storage()
    with (
        sentence_when_full(home(), how_to_go_on),
        directory.locked(shared=storage.shared),
        storage.leases(sweep.name) as leases,
        RecordWriter(open_recorder()) as record,
    ):
        directory.stop_file.unlink(missing_ok=True)  # an earlier wish
        with leases.turn(sweep.name, OPENING_SECONDS):
            known = _claim(sweep, directory, storage, defaults)
            plan = SweepPlan(
                sweep, home(), storage.studies(), leases=leases, record=record, defaults=known
            )
        launcher = launcher or open_launcher(sweep.resources)
        _go_through(plan, directory, storage, launcher, quiet=quiet)
    return sweep_status(sweep.name)


def resume_sweep(
    name: str, *, launcher: Launcher | None = None, quiet: bool = False
) -> SweepStatus:
    """Go on with a sweep after anything.

    Raises:
        InputError: if there is no such sweep, and as `run_sweep`.
    """
    sweep = SweepDirectory(home() / name).spec()
    return run_sweep(sweep, launcher=launcher, quiet=quiet)


def _claim(
    sweep: SweepSpec, directory: SweepDirectory, storage: Storage, defaults: Defaults | None
) -> Defaults:
    """Make the sweep ours, or find that it is; return its families' defaults."""
    if directory.exists:
        directory.keep_in(storage.described)
        directory.claim(sweep)
    elif storage.knows(sweep.name):
        raise InputError(
            f"name = {sweep.name!r}: {storage.described or home()} has trials of such a sweep, but"
            f" {home()} has not its runs: hosts share that directory; else choose another name"
        )
    known = defaults if defaults is not None else directory.defaults()
    known = known if known is not None else resolve_families(sweep)
    if sweep.warm_start is not None and not directory.exists:
        check_warm_start(storage.studies(), sweep)
    directory.keep_in(storage.described)
    directory.claim(sweep)
    directory.write_defaults(known)
    return known


def _go_through(
    plan: SweepPlan,
    directory: SweepDirectory,
    storage: Storage,
    launcher: Launcher,
    *,
    quiet: bool,
) -> None:
    """Run the stages one after the other."""
    sweep, record = plan.sweep, plan.record
    record.add_sweep(sweep.name, sweep.hash, sweep.model_dump_json(indent=1))
    record.add(run for run in sweep_runs(sweep.name) if run.result() is not None)
    expected = expected_runs(sweep)
    runs = expected["tune"] + expected["confirm"]
    with Progress(f"sweep {sweep.name}", runs, done=plan.known, quiet=quiet) as p:
        if storage.patience is not None:
            storage.patience.say = p.note
        driver = Driver(plan, launcher, p, stop_file=directory.stop_file, limits=sweep.resources)
        driver.run()
        chosen = plan.to_measure()
        _wait_for_turn(plan.leases, measuring := f"{sweep.name}.speed")
        if unmeasured := [run for run in chosen if not run.speed_path.is_file()]:
            p.note(f"measuring the sampling speed of {len(unmeasured)} models, one at a time")
        driver.measure(chosen, directory.log)
        plan.leases.release(measuring)
        plan.keep_best_models()
        record.add(sweep_runs(sweep.name))
        if unsent := record.finish():
            p.note(f"{unsent} entries are not in the record yet; {plan.how_to_go_on} sends them")
    directory.mark_finished()
    if not chosen:
        see = f"flowbench sweep status {sweep.name}"
        raise RunFailed(f"sweep {sweep.name}: no family has a sound trial; see `{see}`")


def _wait_for_turn(leases: Leases, measuring: str) -> None:
    """Wait until no other driver measures speed."""
    while leases.take(measuring) is None:
        time.sleep(1)
