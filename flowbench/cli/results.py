"""`flowbench compare` and `flowbench report`: what the record says."""

from pathlib import Path
from typing import Annotated

import typer

from flowbench.cli.show import console
from flowbench.cli.waiting import shown
from flowbench.errors import InputError

Sweep = Annotated[str | None, typer.Argument(metavar="[SWEEP]", help="A sweep; default all runs.")]
Uri = Annotated[
    str | None, typer.Option("--tracking-uri", help="An MLflow record; default runs/mlflow.db.")
]

READING = "reading the record"
UNLIMITED = 1000
"""Letters in a line of what is not read in a terminal."""


def compare(
    sweep: Sweep = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    tracking_uri: Uri = None,
) -> None:
    """Print the leaderboard of a sweep, or of all runs."""
    from flowbench.compare import render
    from flowbench.compare.fairness import flags
    from flowbench.compare.leaderboard import leaderboard_table
    from flowbench.compare.runs import load

    if as_json and as_csv:
        raise InputError("--json and --csv: one of them is allowed")
    with shown(READING) as progress:
        frame = load(_record(tracking_uri), sweep, progress)
    table = leaderboard_table(frame)
    found = flags(frame, table)
    if as_json:
        print(render.as_json(table, found))
    elif as_csv:
        print(render.as_csv(table), end="")
    else:
        out = console()
        # A file or a pipe has no edge to wrap at.
        out.width = out.width if out.is_terminal else UNLIMITED
        out.print(render.rendered(table, found, out.width))


def report(
    sweep: Sweep = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="DIR", help="Where to write it; default runs/reports/SWEEP."
        ),
    ] = None,
    pdf: Annotated[
        bool | None,
        typer.Option("--pdf/--no-pdf", help="Print it as PDF; default where there is a browser."),
    ] = None,
    verified: Annotated[
        str | None,
        typer.Option(
            "--verify", metavar="DIR|SWEEP", help="Compare a written report with the record."
        ),
    ] = None,
    tracking_uri: Uri = None,
) -> None:
    """Write the report: one HTML file, and its Markdown, LaTeX, CSV and PDF twins."""
    from flowbench.tracking.mirror import Mirror

    record = _record(tracking_uri)
    with shown(READING) as progress:
        Mirror(record).synchronise(progress)
    if verified is not None:
        _verify(record, verified)
    else:
        _write(record, sweep, out, pdf)


def _write(record: str, sweep: str | None, out: Path | None, pdf: bool | None) -> None:
    from flowbench.report.page import write_report
    from flowbench.report.pdf import browser, print_pdf

    program = browser() if pdf is not False else None
    if pdf and program is None:
        raise InputError("--pdf: no browser of the Chromium family is installed to print with")
    say = console()
    page = write_report(record, sweep, out)
    say.print(f"report: {page}", markup=False, soft_wrap=True)
    if program is not None:
        printed = print_pdf(page, program)
        words = f"PDF: {printed}" if printed else f"no PDF: {program} did not print the page"
        say.print(words, markup=False, soft_wrap=True)
    elif pdf is None:
        say.print("no PDF: no browser of the Chromium family is installed", markup=False)


def _verify(record: str, written: str) -> None:
    """End with exit code 1 where a report says something else than the record."""
    from flowbench.report.verify import differences

    found = list(differences(record, written))
    if not found:
        console().print(f"{written}: every table is what the record gives", markup=False)
        return
    more = f" (and {len(found) - 1:,} more differences)" if len(found) > 1 else ""
    console().print(f"{written}: {found[0]}{more}", markup=False, soft_wrap=True)
    raise typer.Exit(1)


def _record(tracking_uri: str | None) -> str:
    from flowbench.tracking.store import default_tracking_uri

    return tracking_uri or default_tracking_uri()
