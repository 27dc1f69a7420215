"""`flowbench compare` and `flowbench report`: what the record says."""

from pathlib import Path
from typing import Annotated

import typer

Sweep = Annotated[str | None, typer.Argument(metavar="[SWEEP]", help="A sweep; default all runs.")]
Uri = Annotated[
    str | None, typer.Option("--tracking-uri", help="An MLflow record; default runs/mlflow.db.")
]


def compare(
    sweep: Sweep = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    tracking_uri: Uri = None,
) -> None:
    """Print the leaderboard of a sweep, or of all runs."""
    raise NotImplementedError


def report(
    sweep: Sweep = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="DIR", help="Where to write it.")
    ] = None,
    tracking_uri: Uri = None,
) -> None:
    """Write the report: one HTML file, and its Markdown, LaTeX and CSV twins."""
    raise NotImplementedError
