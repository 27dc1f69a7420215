"""Whether a database file was written since it was read: if not, there is nothing to ask it."""

import time
from pathlib import Path

from flowbench.run_directory import write_atomically
from flowbench.tracking.store import SQLITE

PARTS = ("", "-wal", "-journal")
"""Endings of the files of an SQLite database."""

SETTLED_SECONDS = 2.0
"""Age from which on a time of writing tells: the clock of files is coarse, and a second writing in
the same tick would leave no trace."""


def state(tracking_uri: str) -> str:
    """Return what differs after each writing; empty where that cannot be told, as of a server."""
    if not tracking_uri.startswith(SQLITE):
        return ""
    found = []
    for part in PARTS:
        path = Path(f"{tracking_uri.removeprefix(SQLITE)}{part}")
        if path.is_file():
            there = path.stat()
            if there.st_mtime > time.time() - SETTLED_SECONDS:
                return ""
            found.append(f"{there.st_ino}-{there.st_mtime_ns}-{there.st_size}")
    return " ".join(found)


class Seen:
    """A file that says which state of a database a mirror's file is of.

    Args:
        path: of the file that says so.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def holds(self, database: str, mirror: str) -> bool:
        """Say whether that version of the mirror is of that state of the database."""
        if not database or not mirror or not self._path.is_file():
            return False
        return self._path.read_text() == f"{mirror} of {database}"

    def note(self, database: str, mirror: str) -> None:
        """Remember it."""
        write_atomically(self._path, f"{mirror} of {database}", durably=False)
