"""Tables as HTML cells, Markdown and LaTeX; every text of a user escaped for each."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from flowbench.compare.columns import Column, present, written
from flowbench.compare.comparable import comparable
from flowbench.compare.render import FIRST_TO_GO

ACROSS_A_PAGE = 11
"""Columns of a leaderboard on paper."""


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and how it is set."""

    text: str
    number: bool = False
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table ready to be written in any format."""

    header: tuple[str, ...]
    meanings: tuple[str, ...]
    """What each column holds, one phrase each; empty where the header says it."""
    rows: tuple[tuple[Cell, ...], ...]
    numbers: tuple[bool, ...]
    """Which columns are set to the right."""
    spared: frozenset[int] = frozenset()
    """Columns that a printed page has no room for."""


@dataclass(frozen=True)
class Titled:
    """A table of the page, and the numbers that it shows."""

    name: str
    """Fit for a file name."""
    title: str
    note: str
    table: Table
    data: pd.DataFrame


def leaderboard(rows: pd.DataFrame, *, compact: bool = False) -> Table:
    """Set one data set's leaderboard, the best of each ranked column marked."""
    narrow = _narrow(rows)
    columns = narrow if compact else present(rows)
    best = {column.key: best_rows(rows, column.key, column.good) for column in columns}
    cells = tuple(
        tuple(
            Cell(written(row.to_dict(), c), c.kind != "text", bool(best[c.key][i])) for c in columns
        )
        for i, (_, row) in enumerate(rows.iterrows())
    )
    return Table(
        tuple(c.title for c in columns), tuple(c.meaning for c in columns), cells,
        tuple(c.kind != "text" for c in columns),
        frozenset(i for i, c in enumerate(columns) if c not in narrow),
    )  # fmt: skip


def _narrow(rows: pd.DataFrame) -> list[Column]:
    """Return the columns of a leaderboard that a page has room for."""
    columns = present(rows, compact=True)
    for key in FIRST_TO_GO:
        if len(columns) > ACROSS_A_PAGE and key != rows["ranked_by"].iloc[0]:
            columns = [column for column in columns if column.key != key]
    return columns


def best_rows(rows: pd.DataFrame, key: str, good: str | None) -> list[bool]:
    """Mark the best of a column among the ranked rows; none where ranking would be unfair.

    What was not measured alike is never ranked together.
    """
    nobody = [False] * len(rows)
    if good is None or not comparable(rows, key):
        return nobody
    values = rows[key].where(rows["rank"].notna())
    if values.nunique() < 2:  # alone, or all alike
        return nobody
    return list(values == (values.min() if good == "low" else values.max()))


def plain(frame: pd.DataFrame) -> Table:
    """Set a frame of texts and numbers; numbers with a fraction get four significant digits."""
    numbers = tuple(bool(pd.api.types.is_numeric_dtype(frame[c])) for c in frame.columns)
    rows = tuple(
        tuple(Cell(_plain(v), n) for v, n in zip(row, numbers, strict=True))
        for row in frame.itertuples(index=False)
    )
    header = tuple(str(c).replace("_", " ") for c in frame.columns)
    return Table(header, ("",) * len(header), rows, numbers)


def excerpt(frame: pd.DataFrame, rows: int) -> Table:
    """Set the first rows of a frame, and say how many there are more."""
    table = plain(frame.iloc[:rows])
    if len(frame) <= rows:
        return table
    more = Cell(f"and {len(frame) - rows:,} more rows in the CSV file")
    return replace(table, rows=(*table.rows, (more, *[Cell("")] * (len(table.header) - 1))))


def sentences(words: Sequence[str]) -> Table:
    """Set one sentence a row."""
    return Table(("sentence",), ("",), tuple((Cell(sentence),) for sentence in words), (False,))


def _plain(value: object) -> str:
    if not isinstance(value, float):
        return "" if value is None else str(value)
    if math.isnan(value):
        return ""
    return f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"


def markdown(table: Table) -> str:
    """Write a table as GitHub's Markdown, the best in bold."""
    rule = ["---:" if number else ":---" for number in table.numbers]
    body = [[_bold(cell, "**", "**", markdown_text) for cell in row] for row in table.rows]
    lines = [[markdown_text(title) for title in table.header], rule, *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def latex(table: Table, caption: str) -> str:
    """Write a table for `booktabs`, the best in bold."""
    form = "".join("r" if number else "l" for number in table.numbers)
    body = [_tex_row([_bold(c, r"\textbf{", "}", latex_text) for c in row]) for row in table.rows]
    return "\n".join([
        r"\begin{table}", r"  \centering", rf"  \caption{{{latex_text(caption)}}}",
        rf"  \begin{{tabular}}{{{form}}}", r"    \toprule",
        _tex_row([latex_text(title) for title in table.header]), r"    \midrule", *body,
        r"    \bottomrule", r"  \end{tabular}", r"\end{table}", "",
    ])  # fmt: skip


def markdown_text(words: str) -> str:
    """Escape what Markdown or the HTML inside it would read as markup."""
    words = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]#!|~$])", r"\\\1", words).replace("\n", " ")


_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$",
    "–": "--",  # noqa: RUF001
    "\n": " ",
}  # fmt: skip


def latex_text(words: str) -> str:
    """Escape what LaTeX would read as a command."""
    return "".join(_TEX.get(letter, letter) for letter in words)


def _bold(cell: Cell, before: str, after: str, escape: Callable[[str], str]) -> str:
    words = escape(cell.text)
    return f"{before}{words}{after}" if cell.best else words


def _tex_row(cells: Sequence[str]) -> str:
    return "    " + " & ".join(cells) + r" \\"
