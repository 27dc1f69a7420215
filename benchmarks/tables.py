"""Tables of figures: in the terminal, as Markdown, and as JSON for whoever computes with them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as RichTable

Cell = str | float | None


@dataclass(frozen=True)
class Table:
    """Figures with their units in the headings.

    Attributes:
        name: a word for programs.
        title: what was measured.
        columns: headings.
        rows: a cell for each heading; None where nothing could be measured.
        note: sentences on how to read it.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    note: str = ""

    def show(self, console: Console) -> None:
        """Print it."""
        table = RichTable(title=self.title, title_justify="left", caption=self.note or None)
        for column in self.columns:
            numbers = all(isinstance(row[self.columns.index(column)], float) for row in self.rows)
            table.add_column(column, justify="right" if numbers else "left")
        for row in self.rows:
            table.add_row(*map(_text, row))
        console.print(table)

    def markdown(self) -> str:
        """Return it as a section of a Markdown page."""
        lines = [self.columns, ["---"] * len(self.columns), *(map(_text, row) for row in self.rows)]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join(part for part in (f"## {self.title}", body, self.note) if part)

    def records(self) -> list[dict[str, Cell]]:
        """Return its rows, for JSON."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def _text(cell: Cell) -> str:
    """Write a number with three digits that count."""
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"


def console() -> Console:
    """Return where tables are shown; a file or a pipe gets them 110 columns wide."""
    return Console(width=None if sys.stdout.isatty() else 110)


def spread(seconds: Sequence[float]) -> str:
    """Return the least and the most of repeated measurements."""
    return f"{_text(min(seconds))} to {_text(max(seconds))}"
