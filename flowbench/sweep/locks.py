"""Lock files that name the process which holds them, and are free when it ends, however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    pid: int
    since: float
    """Seconds since 1970."""


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a lock file inside the block; yield whether it is held: another process may have it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        mine = _lock(file)
        if mine:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        yield mine


def holder(path: Path) -> Holder | None:
    """Return who holds a lock file, None where nobody does."""
    if not path.is_file():
        return None
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return Holder(int(file.read() or 0), path.stat().st_mtime)
    return None


def _lock(file: IO[str], patience: float = 1.0) -> bool:
    """Take the lock; whoever asks for the holder has it for a moment, so this tries a while."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True
