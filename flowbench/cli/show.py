"""Printing for people and for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def console() -> Console:
    """Return a console on stdout."""
    from rich.console import Console

    return Console(highlight=False)


@contextmanager
def saying(what: str) -> Iterator[Callable[[str], None]]:
    """Say on stderr, where a person watches it, what is being done; yield what to call with it."""
    from rich.console import Console

    with Console(stderr=True).status(f"{what} ...") as status:
        yield lambda part: status.update(f"{what} {part} ...")


def table(
    title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], caption: str = ""
) -> Table:
    """Build a table; cells are shown as they are, never read as markup."""
    from rich.markup import escape
    from rich.table import Table

    built = Table(title=escape(title), caption=escape(caption) or None, title_justify="left")
    for column in columns:
        built.add_column(escape(column), overflow="fold")
    for row in rows:
        built.add_row(*(escape(cell if isinstance(cell, str) else number(cell)) for cell in row))
    return built


def number(value: object) -> str:
    """Return four significant digits of a float; anything else as it prints."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_json(value: Any) -> None:
    """Print JSON that every reader accepts: what is not finite becomes null."""
    print(json.dumps(_finite(value), indent=2, default=str, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
