"""`flowbench families` and `flowbench check`: what there is, and whether it is right."""

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
    from flowbench.cli.checking import checked

    results = checked(subjects or [])
    if as_json:
        print_json([result.as_dict() for result in results])
    failed = [result for result in results if result.failed]
    if failed:
        raise RunFailed(f"{len(failed)} of {len(results)} checks failed")
    if not as_json:
        console().print(f"{len(results)} checks passed")
