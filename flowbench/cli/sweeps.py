"""`flowbench sweep`: run, resume, stop, status."""

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flowbench.cli.show import console, print_json, table
from flowbench.cli.units import a_duration, a_size

if TYPE_CHECKING:
    from flowbench.spec.sweep import SweepSpec
    from flowbench.sweep import SweepStatus
    from flowbench.sweep.estimate import Estimate

app = typer.Typer(help="Hyperparameter sweeps over families.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The sweep's name.")]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A PostgreSQL database that several drivers share; default FLOWBENCH_STORAGE, else"
        " SQLite files under runs/.",
    ),
]
Engine = Annotated[
    Literal["local", "ray", "slurm"] | None,
    typer.Option(help="Where trials run, in place of the file's resources.engine."),
]


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The sweep file.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[key=value ...]")] = None,
    storage: Storage = None,
    engine: Engine = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check it, and tell what it will take.")
    ] = False,
) -> None:
    """Tune every family, confirm the best with fresh seeds, measure speed alone."""
    from flowbench.spec.files import load
    from flowbench.spec.sweep import read_sweep
    from flowbench.sweep import run_sweep

    configuration = load([file], overrides or [])
    sweep = _on(read_sweep(configuration.values, configuration.where), engine)
    _use(storage)
    if dry_run:
        _rehearse(sweep)
    else:
        _show(run_sweep(sweep))


@app.command()
def resume(name: Name, storage: Storage = None, engine: Engine = None) -> None:
    """Go on with a sweep after anything."""
    from flowbench.run_directory import home
    from flowbench.sweep import run_sweep
    from flowbench.sweep.directory import SweepDirectory

    _use(storage)
    _show(run_sweep(_on(SweepDirectory(home() / name).spec(), engine)))


@app.command()
def stop(name: Name) -> None:
    """Stop a sweep, wherever its drivers run; its trials go on from their last checkpoint."""
    from flowbench.sweep.halting import stop_sweep

    stopped = stop_sweep(name)
    if stopped:
        said = f"stopped: process {', '.join(map(str, stopped))}"
    else:
        said = "no driver is seen from here; one on another machine stops when it sees this"
    console().print(said, markup=False, soft_wrap=True)
    console().print(f"to go on: flowbench sweep resume {name}", markup=False, soft_wrap=True)


@app.command()
def status(
    name: Name,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the runs by outcome, what is running, and what to do next."""
    from flowbench.sweep import sweep_status

    state = sweep_status(name)
    if as_json:
        print_json(state.as_dict())
    else:
        _show(state)


def _use(storage: str | None) -> None:
    """Let the whole program, the record too, keep its state in a database."""
    if storage is not None:
        from flowbench.database import VARIABLE

        os.environ[VARIABLE] = storage


def _on(sweep: "SweepSpec", engine: str | None) -> "SweepSpec":
    """Return the sweep with its trials on another engine, which does not make it another sweep.

    Raises:
        InputError: if its resources are not possible there.
    """
    if engine is None:
        return sweep
    from flowbench.spec.sweep import Resources
    from flowbench.spec.validation import validated

    values: dict[str, Any] = {**sweep.resources.model_dump(), "engine": engine}
    resources = validated(Resources, values, "resources", {"": f"sweep {sweep.name}"})
    return sweep.model_copy(update={"resources": resources})


def _rehearse(sweep: "SweepSpec") -> None:
    """Check a sweep as `run` does, and print what it will take; nothing is written."""
    from flowbench.run_directory import home
    from flowbench.sweep.directory import SweepDirectory
    from flowbench.sweep.estimate import estimate
    from flowbench.sweep.resolving import resolve_families

    directory = SweepDirectory(home() / sweep.name)
    if directory.exists:
        directory.claim(sweep)
    resolve_families(sweep)
    _show_estimate(sweep, estimate(sweep))


def _show_estimate(sweep: "SweepSpec", expected: "Estimate") -> None:
    rows = [
        [
            cell.family, cell.data, cell.tune, cell.confirm,
            "unknown" if cell.seconds is None else a_duration(cell.seconds),
            "unknown" if cell.bytes is None else a_size(cell.bytes),
        ]
        for cell in expected.cells
    ]  # fmt: skip
    columns = ["family", "data", "tuning runs", "confirming runs", "time a run", "disk a run"]
    out = console()
    out.print(table(f"sweep {sweep.name}", columns, rows))
    out.print(f"budget: {sweep.budget.words}", markup=False, soft_wrap=True)
    least = "at least " if sweep.budget.total is not None else ""
    slots = f"{expected.slots} slots" if expected.slots > 1 else "one slot"
    words = f"{least}{expected.runs} runs on {slots}"
    known = f"{a_duration(expected.seconds)} and {a_size(expected.bytes)}"
    if not expected.unknown:
        words += f": about {known}, before speed is measured"
    elif len(expected.unknown) < len(expected.cells):
        some = expected.unknown[0]
        words += (
            f": more than {known}; no earlier run of {some.family} on {some.data} is here to go by"
        )
    else:
        words += ": time and disk are unknown, for no earlier run of these is here to go by"
    out.print(words, markup=False, soft_wrap=True)


def _show(status: "SweepStatus") -> None:
    out = console()
    out.print(table(f"sweep {status.name}", ["stage", "outcome", "runs"], status.rows()))
    out.print(f"budget: {status.budget}", markup=False, soft_wrap=True)
    if status.front:
        columns = ["family", "data", "trial", "val bits/dim", "ms a sample (rough)"]
        rows = [
            [t.family, t.data, t.run, t.bits_per_dim, t.milliseconds_per_sample]
            for t in status.front
        ]
        out.print(table("no other trial is better in both", columns, rows))
    for trial in status.running:
        out.print(f"running since {_clock(trial.since)}: {trial.run}", markup=False)
    words: str = status.state
    if status.running_since is not None:
        words += f" since {_clock(status.running_since)} by process {status.driver}"
        words += f"; {len(status.running)} of {status.slots} slots in use"
    if status.expected_end is not None:
        words += f"; expected to end about {_clock(status.expected_end)}"
    out.print(words, markup=False, soft_wrap=True)
    out.print(f"next: {status.how_to_go_on}", markup=False, soft_wrap=True)


def _clock(seconds: float) -> str:
    """Return a time of day, with its date where that is not today's."""
    moment = datetime.fromtimestamp(seconds)
    today = moment.date() == datetime.now().date()
    return f"{moment:%H:%M}" if today else f"{moment:%d %B %H:%M}"
