"""`flowbench runs`: list, remove and send to the record what is under the home directory."""

from typing import Annotated

import typer

from flowbench.cli.show import console, print_json, table
from flowbench.errors import RunFailed

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


@app.command()
def sync() -> None:
    """Send the record what it has not got, after an outage of its server or into a new one."""
    from flowbench.sweep.sending import send_everything
    from flowbench.tracking.record import open_recorder

    recorder = open_recorder()
    if unsent := send_everything(recorder):
        raise RunFailed(f"{unsent} entries are not in the record {recorder.where} yet")
    console().print(f"the record {recorder.where} has everything", markup=False, soft_wrap=True)
