"""`flowbench data`: what a data set is, before anything is trained on it."""

from pathlib import Path
from typing import Annotated

import typer

from flowbench.cli.show import console, print_json, table


def describe(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME_OR_FILE [key=value ...]",
            help="A data set by name, a file or image folder; data keys may follow.",
        ),
    ],
    data_seed: Annotated[int, typer.Option(help="Decides the split.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what a data set is: shape, splits, hash, baselines, warnings."""
    from flowbench.cli.configuring import data_spec
    from flowbench.data.catalogue import DATA_SETS
    from flowbench.data.module import open_data
    from flowbench.data.summary import summarise

    name, *overrides = source
    key = "name" if name in DATA_SETS and not Path(name).exists() else "path"
    if key == "path" and not ("/" in name or "." in name or Path(name).exists()):
        key = "name"
    summary = summarise(open_data(data_spec(key, name, overrides), data_seed))
    if as_json:
        print_json(summary.as_dict())
        return
    out = console()
    facts = table(summary.name, ["", ""], summary.facts())
    facts.show_header = False
    out.print(facts)
    units = [f"{split} {unit}" for split in ("val", "test") for unit in ("bits/dim", "nats")]
    out.print(table("baselines", ["", *units], summary.baseline_rows()))
    for warning in summary.warnings:
        out.print(f"warning: {warning}", markup=False)
