"""The leaderboard in the terminal, and as JSON and CSV for programs."""

import json
import math
import textwrap
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from flowbench.compare.columns import Column, present, written
from flowbench.compare.fairness import Flag
from flowbench.compare.runs import PROTOCOL

FIRST_TO_GO = (
    "parameters", "interval_low", "seeds", "p_holm", "excess", "bits_per_dim", "speed_b1024",
    "verdict", "gain",
)  # fmt: skip
"""Columns that a narrow terminal does without, in this order; the measure of the rank stays."""

GAP = 3
"""Letters between columns: two of padding, and the space that rich draws as a line."""


def rendered(table: pd.DataFrame, flags: list[Flag], width: int | None = None) -> RenderableType:
    """Lay the leaderboard out for a terminal: a table a data set, then what to read with it.

    Args:
        table: the leaderboard.
        flags: what to read with it.
        width: letters in a line; None for as many as it takes.
    """
    parts: list[RenderableType] = []
    for (name, *_), rows in table.groupby(PROTOCOL, sort=True):
        columns, left_out = _fitting(rows, width)
        built = Table(
            title=escape(f"{name} ({rows['split'].iloc[0]})"), title_justify="left",
            box=SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False,
        )  # fmt: skip
        for column in columns:
            justify: Any = "left" if column.kind == "text" else "right"
            room = _width(rows, column)
            title = "\n".join(textwrap.wrap(column.title, room))
            built.add_column(escape(title), justify=justify, width=room, no_wrap=True)
        for _, row in rows.iterrows():
            cells = (escape(written(row.to_dict(), column)) for column in columns)
            built.add_row(*cells, style="bold" if row["best"] else None)
        parts.append(built)
        if left_out:
            parts.append(f"[dim]no room for: {', '.join(left_out)} (--csv has every column)[/]")
        if "verdict" not in {column.key for column in columns}:
            parts += [escape(words) for words in _verdicts(rows)]
        parts.append("")
    parts += [f"[yellow]![/] [bold]{escape(f.data)}[/] {escape(f.sentence)}" for f in flags]
    return Group(*parts)


def _fitting(rows: pd.DataFrame, width: int | None) -> tuple[list[Column], list[str]]:
    """Return the columns that have room side by side, and the titles of those that have not."""
    columns = present(rows, compact=True)
    left_out: list[str] = []
    ranked_by = rows["ranked_by"].iloc[0]
    for key in FIRST_TO_GO:
        needed = sum(_width(rows, column) + GAP for column in columns)
        if width is None or needed <= width:
            break
        if key != ranked_by:
            left_out += [column.title for column in columns if column.key == key]
            columns = [column for column in columns if column.key != key]
    return columns, left_out


def _verdicts(rows: pd.DataFrame) -> list[str]:
    """Say in a line what the tests against the best found; nothing where there was none."""
    named = {
        words: ", ".join(rows.loc[rows["verdict"] == verdict, "family"])
        for verdict, words in (("different", "worse"), ("not told apart", "not told apart from it"))
    }
    found = [f"{words}: {names}" for words, names in named.items() if names]
    return [f"tested against {rows['family'].iloc[0]}: {'; '.join(found)}"] if found else []


def _width(rows: pd.DataFrame, column: Column) -> int:
    """Return the letters that a column needs: its cells whole, its title word by word."""
    cells = [written(row.to_dict(), column) for _, row in rows.iterrows()]
    return max(map(len, [*cells, *column.title.split()]))


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
    guarded = {name: written_out[name].map(no_formula) for name in texts}
    return written_out.assign(**guarded).to_csv(index=False)


def _plain(value: object) -> object:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value


def no_formula(value: object) -> object:
    """Keep a spreadsheet from running a text that begins like a formula."""
    starts = isinstance(value, str) and value.startswith(("=", "+", "@", "\t", "\r"))
    return f"'{value}" if starts else value
