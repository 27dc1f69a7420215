"""Whether a written report still says what the record says."""

import csv
import io
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from itertools import zip_longest
from pathlib import Path

from flowbench.errors import InputError
from flowbench.report.contents import contents
from flowbench.report.page import PAGE, report_directory
from flowbench.report.tables import Table
from flowbench.report.twins import texts

Rows = Sequence[Sequence[str]]
"""A table's cells as texts, its header first."""

CLOSE = 1e-9
"""Relative difference of two numbers that are the same: summed in another order."""
NOTHING, EMPTY = "nothing", "an empty cell"


def differences(tracking_uri: str, report: str) -> Iterator[str]:
    """Compute a report's tables again and yield where what was written differs, a sentence each.

    Compared are the tables and the summary on the page, every CSV file cell by cell, and the
    Markdown and LaTeX files line by line.

    Args:
        tracking_uri: the record's address.
        report: a directory that `flowbench report` wrote, or a sweep's name.

    Raises:
        InputError: if there is no such report, or the record has no such runs.
    """
    directory = _directory(report)
    page = ReadPage(directory / PAGE)
    made = contents(tracking_uri, page.sweep)
    shown = made.shown()
    for name in [*shown, *(written for written in page.tables if written not in shown)]:
        if name not in page.tables and not shown[name].rows:
            continue  # a page has no empty tables
        ours = _texts(shown[name]) if name in shown else []
        yield from _compared(f"{PAGE}, table {name}", page.tables.get(name, []), ours)
    for name, text in texts(made):
        path = directory / name
        written = path.read_text(encoding="utf-8") if path.is_file() else ""
        if name.endswith(".csv"):
            yield from _compared(name, _read_csv(written), _read_csv(text))
        else:
            ours = [["line"], *([line] for line in text.splitlines())]
            yield from _compared(name, [["line"], *([x] for x in written.splitlines())], ours)


def _directory(report: str) -> Path:
    for directory in (Path(report), report_directory(report)):
        if (directory / PAGE).is_file():
            return directory
    raise InputError(
        f"{report}: no report there; give a directory with {PAGE}, or a sweep whose report is in"
        f" {report_directory(report)}"
    )


def _compared(table: str, written: Rows, ours: Rows) -> Iterator[str]:
    """Yield a sentence for each cell that differs: table, row, column and both values."""
    if list(written[:1]) != list(ours[:1]):
        columns = (", ".join(rows[0]) if rows else NOTHING for rows in (written, ours))
        yield "{}, columns: the report has {}, the record gives {}".format(table, *columns)
        return
    header = ours[0] if ours else []
    for number, (theirs, mine) in enumerate(zip_longest(written[1:], ours[1:]), 1):
        for i, column in enumerate(header):
            old, new = (row[i] if row and i < len(row) else NOTHING for row in (theirs, mine))
            if not _same(old, new):
                about = _row_name(header, mine or theirs or [])
                yield (
                    f"{table}, row {number}{about}, column {column}: the report has"
                    f" {old or EMPTY}, the record gives {new or EMPTY}"
                )


def _same(old: str, new: str) -> bool:
    if old == new:
        return True
    try:
        a, b = float(old), float(new)
    except ValueError:
        return False
    return abs(a - b) <= CLOSE * max(abs(a), abs(b))


def _row_name(header: Sequence[str], row: Sequence[str]) -> str:
    """Return what a row is about, in brackets."""
    keys = ("data", "family", "other", "behind it", "subject", "round trip", "input", "run")
    named = [cell for column, cell in zip(header, row, strict=False) if column in keys and cell]
    return f" ({', '.join(named)})" if named else ""


def _texts(table: Table) -> Rows:
    return [list(table.header), *([cell.text for cell in row] for row in table.rows)]


def _read_csv(text: str) -> Rows:
    return list(csv.reader(io.StringIO(text)))


class ReadPage(HTMLParser):
    """The tables of a written page by their names, as a reader sees them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.sweep: str | None = None
        self.tables: dict[str, list[list[str]]] = {}
        self._table: list[list[str]] | None = None
        self._in_cell = False
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        self.tables = {
            name: [[" ".join(cell.split()) for cell in row] for row in rows]
            for name, rows in self.tables.items()
        }

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "meta" and values.get("name") == "flowbench-sweep":
            self.sweep = values.get("content") or None
        elif "data-table" in values:
            self._table = self.tables.setdefault(values["data-table"] or "", [])
            if "data-header" in values:  # a list: it has no head, and a cell a row
                self._table.append([values["data-header"] or ""])
        elif self._table is not None and tag in ("tr", "li"):
            self._table.append([""] if tag == "li" else [])
            self._in_cell = tag == "li"
        elif self._table is not None and tag in ("td", "th"):
            self._table[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "li"):
            self._in_cell = False
        elif tag in ("table", "ul"):
            self._table = None

    def handle_data(self, data: str) -> None:
        if self._in_cell and self._table is not None:
            self._table[-1][-1] += data
