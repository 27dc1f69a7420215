"""`flowbench dashboard`: the record and running sweeps, in a browser."""

from typing import Annotated

import typer

from flowbench.cli.show import console
from flowbench.serving import LOOPBACK, address, is_loopback


def dashboard(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen; 0 for any free port.")
    ] = 8050,
    host: Annotated[
        str, typer.Option(help="At which address; only this machine's own keeps others out.")
    ] = LOOPBACK,
    tracking_uri: Annotated[
        str | None, typer.Option("--tracking-uri", help="An MLflow record; default runs/mlflow.db.")
    ] = None,
) -> None:
    """Show runs and sweeps in a browser, live; Ctrl-C ends it."""
    from flowbench.dashboard.server import serving
    from flowbench.tracking.store import default_tracking_uri

    with serving(tracking_uri or default_tracking_uri(), host, port) as server:
        lines = [f"dashboard: {address(host, server.port)}"]
        if not is_loopback(host):
            lines.append("whoever reaches this address sees the record: there is no password")
        for line in lines:
            console().print(line, markup=False, soft_wrap=True)
        server.serve_forever()
        raise KeyboardInterrupt  # which ended it, and which it keeps to itself
