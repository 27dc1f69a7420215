"""The leaderboard in the terminal, and as JSON and CSV for programs."""

import json
import math
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from flowbench.compare.columns import present, written
from flowbench.compare.fairness import Flag


def rendered(table: pd.DataFrame, flags: list[Flag]) -> RenderableType:
    """Lay the leaderboard out for a terminal: a table a data set, then what to read with it."""
    parts: list[RenderableType] = []
    for name, rows in table.groupby("data", sort=True):
        columns = present(rows, compact=True)
        built = Table(title=escape(f"{name} ({rows['split'].iloc[0]})"), title_justify="left")
        for column in columns:
            justify: Any = "left" if column.kind == "text" else "right"
            built.add_column(escape(column.title), justify=justify)
        for _, row in rows.iterrows():
            cells = (escape(written(row.to_dict(), column)) for column in columns)
            built.add_row(*cells, style="bold" if row["best"] else None)
        parts.append(built)
    parts += [f"[yellow]![/] [bold]{escape(f.data)}[/] {escape(f.sentence)}" for f in flags]
    return Group(*parts)


def as_json(table: pd.DataFrame, flags: list[Flag]) -> str:
    """Return the leaderboard and the flags as JSON; what is not finite or not known is null."""
    rows = [{key: _plain(value) for key, value in row.items()} for row in table.to_dict("records")]
    return json.dumps(
        {"leaderboard": rows, "flags": [vars(flag) for flag in flags]}, indent=2, allow_nan=False
    )


def as_csv(table: pd.DataFrame) -> str:
    """Return the leaderboard as CSV in full precision, the runs it quotes joined by spaces."""
    written_out = table.assign(run_ids=[" ".join(ids) for ids in table["run_ids"]])
    texts = written_out.select_dtypes(exclude=["number", "bool"]).columns
    guarded = {name: written_out[name].map(_no_formula) for name in texts}
    return written_out.assign(**guarded).to_csv(index=False)


def _plain(value: object) -> object:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value


def _no_formula(value: object) -> object:
    """Keep a spreadsheet from running a text that begins like a formula."""
    starts = isinstance(value, str) and value.startswith(("=", "+", "@", "\t", "\r"))
    return f"'{value}" if starts else value
