"""Bringing a mirror up to date without reading what it has.

A run that ended never changes, so a few questions are enough, whatever the record's size:

1. Which runs ended since the last one that is known? Which run now? What became of those that ran?
   Which of the deleted ones were restored?
2. Does the record have as many runs as the mirror, with and without deleted ones? That is asked
   by reading one run at that place.
3. Where not: in which half of the time? And so on, down to a page of runs, which is read.

The second finds what the first cannot: runs that were deleted, and runs that ended long ago and
came late, after an outage. A deletion, a late run and `mlflow gc`, all three between two looks and
in one page, escape it until something else changes near them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flowbench.tracking.mirror.table import DELETED, OPEN, UNENDED, MirrorTable, mirrored
from flowbench.tracking.source import Source

if TYPE_CHECKING:
    from mlflow.entities import Run

Progress = Callable[[int, int], None]
"""Called with the number of runs that are known, and of all."""

NAMED_AT_ONCE = 500
"""Runs a question; MLflow's parser takes a quarter of a second for 3,000."""

KEPT_EVERY = 2000
"""Runs after which a long reading is kept, so that one which is cut off goes on from there."""


class CatchingUp:
    """One synchronisation.

    Args:
        source: the record.
        table: what is known of it.
        keep: called with what is known by then, from time to time.
        progress: who is told, once there is more than a page to read.
    """

    def __init__(
        self,
        source: Source,
        table: MirrorTable,
        keep: Callable[[MirrorTable], None],
        progress: Progress | None = None,
    ) -> None:
        self.table = table
        self._source = source
        self._keep = keep
        self._kept = len(table)
        self._progress = progress
        self._total = 0

    def run(self) -> MirrorTable:
        """Read what is missing and return everything."""
        if self._progress is not None:
            self._total = self._count()
        if len(self.table):
            self._read_recent()
        self._settle(None, None)
        return self.table

    def _count(self) -> int:
        """Count the record's runs if there is more than a page to read, else return 0."""
        known = len(self.table)
        if self._source.holds(known, deleted=True):
            return 0
        total = self._source.count(known)
        return total if total > known + self._source.page else 0

    def _read_recent(self) -> None:
        """Read what ended since the last look, what runs, what ran, and what was restored."""
        ran, deleted = set(self.table.ids(OPEN)), self.table.ids(DELETED)
        last = self.table.last_end()
        if last is not None:
            for page in self._source.pages(f"attributes.end_time >= {last}", deleted=True):
                ran -= self._take(page)
        for status in UNENDED:
            for page in self._source.pages(f"attributes.status = '{status}'", deleted=True):
                ran -= self._take(page)
        self.table = self.table.replaced(ran - self._read_named(sorted(ran), deleted=True), [])
        self._read_named(deleted, deleted=False)

    def _read_named(self, names: Sequence[str], *, deleted: bool) -> set[str]:
        """Read runs by their names in MLflow; return those that are there."""
        found: set[str] = set()
        for first in range(0, len(names), NAMED_AT_ONCE):
            some = ", ".join(f"'{name}'" for name in names[first : first + NAMED_AT_ONCE])
            for page in self._source.pages(f"attributes.run_id IN ({some})", deleted=deleted):
                found |= self._take(page)
        return found

    def _settle(self, low: int | None, high: int | None) -> None:
        """Make the runs that started in a span of time, in ms, those of the record."""
        here = self._within(low, high)
        query = _span(low, high)
        alive = int(np.count_nonzero(here & ~self.table.deleted))
        known = int(np.count_nonzero(here))
        if self._source.holds(known, query, deleted=True) and self._source.holds(alive, query):
            return
        started = np.sort(self.table.started[here])
        middle = int(started[known // 2]) if known > self._source.page else None
        if middle is None or middle == started[0]:
            self._reread(low, high)
            return
        self._settle(low, middle)
        self._settle(middle, high)

    def _reread(self, low: int | None, high: int | None) -> None:
        """Read all that started in a span of time, and drop what is not there any more."""
        before = set(self.table.runs["mlflow_id"].filter(self._within(low, high)).to_pylist())
        for page in self._source.pages(_span(low, high), deleted=True):
            before -= self._take(page)
            if len(self.table) >= self._kept + KEPT_EVERY:
                self._keep(self.table)
                self._kept = len(self.table)
        self.table = self.table.replaced(before, [])

    def _take(self, page: "list[Run]") -> set[str]:
        """Add runs, or what has changed of them; return their names in MLflow."""
        rows = [mirrored(run) for run in page]
        self.table = self.table.replaced([], self.table.changed(rows))
        if self._progress is not None and self._total:
            self._progress(len(self.table), max(self._total, len(self.table)))
        return {row["mlflow_id"] for row in rows}

    def _within(self, low: int | None, high: int | None) -> NDArray[np.bool_]:
        started = self.table.started
        here = np.ones(len(started), bool)
        if low is not None:
            here &= started >= low
        if high is not None:
            here &= started < high
        return here


def _span(low: int | None, high: int | None) -> str:
    """Return the runs of a span of time in MLflow's language."""
    parts: Iterator[str] = (
        f"attributes.start_time {sign} {time}"
        for sign, time in ((">=", low), ("<", high))
        if time is not None
    )
    return " and ".join(parts)
