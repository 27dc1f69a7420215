"""`flowbench families` and `flowbench check`: what there is, and whether it is right."""

import sys
from typing import Annotated

import typer

from flowbench.cli.show import console, print_json, table
from flowbench.errors import RunFailed


def families(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the families: paper, hyperparameters with type, range and default."""
    from flowbench.families.listing import list_families

    listing = list_families()
    if as_json:
        print_json([family.model_dump(mode="json") for family in listing])
        return
    for family in listing:
        rows = [h.row for h in family.hyperparameters]
        console().print(
            table(family.name, ["hyperparameter", "type", "range", "default"], rows, family.paper)
        )


def check(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(help="Families, a checkpoint or run, or package.module:Class."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that encode, decode and log-dets are right at perturbed or trained parameters.

    With no argument every family is checked, on vectors and on images.
    """
    from rich.console import Console
    from rich.progress import track

    from flowbench.cli.checking import checked, failures, subjects_of, summary

    progress = Console(stderr=True)
    every = []
    for title, group in subjects_of(subjects or []):
        running = track(
            checked(group),
            description=title,
            total=len(group),
            console=progress,
            transient=True,
            disable=not progress.is_terminal,
        )
        results = [result for each in running for result in each]
        every += results
        if not as_json:
            columns = ["check", "worst", "tolerance", "cases", "verdict"]
            console().print(table(title, columns, summary(results)))
    if as_json:
        print_json([result.as_dict() for result in every])
    failed = [result for result in every if result.failed]
    for sentence in failures(failed):
        print(f"flowbench: {sentence}", file=sys.stderr)
    if failed:
        raise RunFailed(f"{len(failed)} of {len(every)} checks failed")
    if not as_json:
        passed = sum(result.verdict == "passed" for result in every)
        console().print(f"{passed} checks passed")
