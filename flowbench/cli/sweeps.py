"""`flowbench sweep`: run, resume, status."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowbench.cli.show import console, print_json, table

if TYPE_CHECKING:
    from flowbench.sweep import SweepStatus

app = typer.Typer(help="Hyperparameter sweeps over families.", no_args_is_help=True)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The sweep file.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[key=value ...]")] = None,
) -> None:
    """Tune every family, confirm the best with fresh seeds, measure speed alone."""
    from flowbench.spec.files import load
    from flowbench.spec.sweep import read_sweep
    from flowbench.sweep import run_sweep

    configuration = load([file], overrides or [])
    _show(run_sweep(read_sweep(configuration.values, configuration.where)))


@app.command()
def resume(name: Annotated[str, typer.Argument(metavar="NAME", help="The sweep's name.")]) -> None:
    """Go on with a sweep after anything."""
    from flowbench.sweep import resume_sweep

    _show(resume_sweep(name))


@app.command()
def status(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The sweep's name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the runs by outcome, what is running, and what to do next."""
    from flowbench.sweep import sweep_status

    state = sweep_status(name)
    if as_json:
        print_json(state.as_dict())
    else:
        _show(state)


def _show(status: "SweepStatus") -> None:
    out = console()
    out.print(table(f"sweep {status.name}", ["stage", "outcome", "runs"], status.rows()))
    for trial in status.running:
        out.print(f"running since {_clock(trial.since)}: {trial.run}", markup=False)
    words: str = status.state
    if status.running_since is not None:
        words += f" since {_clock(status.running_since)} by process {status.driver}"
    if status.expected_end is not None:
        words += f"; expected to end about {_clock(status.expected_end)}"
    out.print(words, markup=False)
    out.print(f"next: {status.how_to_go_on}", markup=False, soft_wrap=True)


def _clock(seconds: float) -> str:
    """Return a time of day, with its date where that is not today's."""
    moment = datetime.fromtimestamp(seconds)
    today = moment.date() == datetime.now().date()
    return f"{moment:%H:%M}" if today else f"{moment:%d %B %H:%M}"
