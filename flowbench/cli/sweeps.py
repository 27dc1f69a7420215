"""`flowbench sweep`: run, resume, status."""

from pathlib import Path
from typing import Annotated

import typer

from flowbench.cli.show import console, print_json, table

app = typer.Typer(help="Hyperparameter sweeps over families.", no_args_is_help=True)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The sweep file.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[key=value ...]")] = None,
) -> None:
    """Tune every family, confirm the best with fresh seeds, measure speed alone."""
    from flowbench.spec.files import load
    from flowbench.spec.sweep import SweepSpec
    from flowbench.spec.validation import validated
    from flowbench.sweep import run_sweep

    configuration = load([file], overrides or [])
    run_sweep(validated(SweepSpec, configuration.values, where=configuration.where))


@app.command()
def resume(name: Annotated[str, typer.Argument(help="The sweep's name.")]) -> None:
    """Go on with a sweep after anything."""
    from flowbench.sweep import resume_sweep

    resume_sweep(name)


@app.command()
def status(
    name: Annotated[str, typer.Argument(help="The sweep's name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the trials by outcome and what is running."""
    from flowbench.sweep import sweep_status

    state = sweep_status(name)
    if as_json:
        print_json(state.as_dict())
        return
    console().print(table(name, ["stage", "outcome", "trials"], state.rows()))
