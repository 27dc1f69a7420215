"""`flowbench runs`: list and remove what is under the home directory."""

from typing import Annotated

import typer

from flowbench.cli.show import console, print_json, table

app = typer.Typer(help="The runs that are here.", no_args_is_help=True)


@app.command(name="list")
def show(
    sweep: Annotated[
        str | None, typer.Argument(metavar="[SWEEP]", help="A sweep; default all runs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List runs: how each ended, its bits/dim, its time; --json has family and data."""
    from flowbench.sweep.listing import list_runs

    runs = list(list_runs(sweep))
    if as_json:
        print_json([run.as_dict() for run in runs])
        return
    rows = [
        [
            run.id, run.stage, run.outcome.replace("_", " "),
            "" if run.bits_per_dim is None else f"{run.bits_per_dim:.4f}",
            "" if run.seconds is None else f"{run.seconds:.0f}",
        ]
        for run in runs
    ]  # fmt: skip
    columns = ["run", "stage", "outcome", "bits/dim", "seconds"]
    console().print(table(f"{len(runs)} runs", columns, rows))


@app.command()
def rm(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Runs, or sweeps with all their runs.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Also what a report, a sweep or another run needs.")
    ] = False,
) -> None:
    """Remove runs from the disk and from the record; nothing that is still needed."""
    from flowbench.sweep.removal import plan_removal, remove
    from flowbench.sweep.storage import Storage
    from flowbench.tracking.store import default_tracking_uri

    removal = plan_removal(names, force=force)
    remove(removal, Storage(), default_tracking_uri())
    gone = [f"sweep {sweep.path.name}" for sweep in removal.sweeps]
    gone.append("1 run" if len(removal.runs) == 1 else f"{len(removal.runs)} runs")
    console().print(f"removed {' and '.join(gone)}", markup=False)
