"""`flowbench mlflow` and `flowbench optuna`: the pages of the tools underneath."""

from typing import Annotated

import typer

from flowbench.cli.show import console
from flowbench.database import described
from flowbench.errors import RunFailed
from flowbench.serving import LOOPBACK, address, is_loopback

Host = Annotated[
    str, typer.Option(help="At which address; only this machine's own keeps others out.")
]
Uri = Annotated[
    str | None, typer.Option("--tracking-uri", help="An MLflow record; default runs/mlflow.db.")
]
WHERE = "Where to listen; 0 for any free port."


def mlflow(
    port: Annotated[int, typer.Option(min=0, max=65535, help=WHERE)] = 5000,
    host: Host = LOOPBACK,
    tracking_uri: Uri = None,
) -> None:
    """Show the record of runs in MLflow's own pages; Ctrl-C ends it."""
    from flowbench.tracking.mlflow_server import serving
    from flowbench.tracking.store import default_tracking_uri

    record = tracking_uri or default_tracking_uri()
    if record.startswith("http"):
        _say(f"MLflow: {described(record)}", "this record's server has its pages already")
        return
    with serving(record, host, port) as server:
        _announce("MLflow", server.address, host)
        server.wait()
        raise RunFailed("MLflow's server ended by itself")


def optuna(
    port: Annotated[int, typer.Option(min=0, max=65535, help=WHERE)] = 8080,
    host: Host = LOOPBACK,
) -> None:
    """Show the studies of sweeps in Optuna's dashboard; Ctrl-C ends it."""
    from flowbench.sweep.optuna_server import serving

    with serving(host, port) as server:
        _announce("Optuna", address(host, server.port), host)
        server.serve_forever()
        raise KeyboardInterrupt  # which ended it, and which it keeps to itself


def _announce(what: str, where: str, host: str) -> None:
    _say(f"{what}: {where}")
    if not is_loopback(host):
        _say("whoever reaches this address may read and change it: there is no password")


def _say(*lines: str) -> None:
    for line in lines:
        console().print(line, markup=False, soft_wrap=True)
