"""`flowbench dashboard`: the record and running sweeps, in a browser."""

from typing import Annotated

import typer

from flowbench.cli.show import console

PORT = 8050


def dashboard(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen; 0 for any free port.")
    ] = PORT,
    host: Annotated[
        str, typer.Option(help="At which address; only this machine's own keeps others out.")
    ] = "127.0.0.1",
    tracking_uri: Annotated[
        str | None, typer.Option("--tracking-uri", help="An MLflow record; default runs/mlflow.db.")
    ] = None,
) -> None:
    """Show runs and sweeps in a browser, live; Ctrl-C ends it."""
    from flowbench.dashboard.security import is_loopback
    from flowbench.dashboard.server import serving
    from flowbench.tracking.store import default_tracking_uri

    with serving(tracking_uri or default_tracking_uri(), host, port) as server:
        shown = f"[{host}]" if ":" in host else host
        out = console()
        out.print(f"dashboard: http://{shown}:{server.port}", markup=False, soft_wrap=True)
        if not is_loopback(host):
            out.print(
                "whoever reaches this address sees the record: there is no password",
                markup=False, soft_wrap=True,
            )  # fmt: skip
        server.serve_forever()
