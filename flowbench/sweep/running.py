"""Running a whole sweep, and going on with one."""

from flowbench.errors import RunFailed
from flowbench.run_directory import home
from flowbench.spec.sweep import SweepSpec
from flowbench.sweep.directory import SweepDirectory
from flowbench.sweep.disk import sentence_when_full
from flowbench.sweep.driver import Driver
from flowbench.sweep.launchers import open_launcher
from flowbench.sweep.launchers.base import Launcher
from flowbench.sweep.phases import Defaults, SweepPlan
from flowbench.sweep.progress import Progress
from flowbench.sweep.resolving import resolve_families
from flowbench.sweep.status import SweepStatus, expected_runs, sweep_runs, sweep_status
from flowbench.sweep.study import open_storage
from flowbench.tracking.record import Recorder
from flowbench.tracking.store import default_tracking_uri


def run_sweep(
    sweep: SweepSpec,
    *,
    launcher: Launcher | None = None,
    defaults: Defaults | None = None,
    quiet: bool = False,
) -> SweepStatus:
    """Tune every family on every data set, confirm the best, measure speed; resume where it exists.

    Args:
        sweep: the sweep.
        launcher: where trials run; this machine's slots by default.
        defaults: the families' defaults; by default a process of its own checks every key of every
            family and finds them.
        quiet: show no progress.

    Raises:
        InputError: for a key that does not belong to its family, an unknown data set, another
            sweep of this name, a driver that runs it already, or a full disk.
        RunFailed: if no family has a single sound trial.
        SystemExit: with 130 or 143 when it was stopped.
    """
    directory = SweepDirectory(home() / sweep.name)
    how_to_go_on = f"flowbench sweep resume {sweep.name}"
    with sentence_when_full(home(), how_to_go_on), directory.locked():
        if directory.path.joinpath("sweep.json").is_file():
            directory.claim(sweep)
        known = defaults if defaults is not None else directory.defaults()
        known = known if known is not None else resolve_families(sweep)
        directory.claim(sweep)
        directory.write_defaults(known)
        recorder = Recorder(default_tracking_uri(), home() / "artifacts")
        storage = open_storage(home() / "optuna.db")
        plan = SweepPlan(sweep, home(), storage, recorder, known)
        _go_through(plan, directory, launcher or open_launcher(sweep.resources), quiet=quiet)
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


def _go_through(
    plan: SweepPlan, directory: SweepDirectory, launcher: Launcher, *, quiet: bool
) -> None:
    """Run the stages one after the other."""
    sweep, recorder = plan.sweep, plan.recorder
    recorder.record_sweep(sweep.name, sweep.hash, sweep.model_dump_json(indent=1))
    expected = expected_runs(sweep)
    runs = expected["tune"] + expected["confirm"]
    with Progress(f"sweep {sweep.name}", runs, done=plan.known, quiet=quiet) as p:
        driver = Driver(plan, launcher, p)
        driver.run()
        chosen = plan.to_measure()
        if chosen:
            p.note(f"measuring the sampling speed of {len(chosen)} models, one at a time")
        driver.measure(chosen, directory.log)
        plan.keep_best_models()
        unsent = recorder.sync(sweep_runs(sweep.name))
        if unsent:
            p.note(f"{unsent} runs are not in the record yet; {plan.how_to_go_on} sends them")
    directory.mark_finished()
    if not chosen:
        see = f"flowbench sweep status {sweep.name}"
        raise RunFailed(f"sweep {sweep.name}: no family has a sound trial; see `{see}`")
