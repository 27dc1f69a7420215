"""Where state lives, and files that are never seen half written."""

import errno
import os
from pathlib import Path

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A full disk, a used-up quota, a limit on the size of files."""

DISK_FULL = errno.ENOSPC
"""Exit code of a trial that could not write its results."""

PARENT = "FLOWBENCH_PARENT"
"""Environment of a trial: the process that it dies with; absent where an engine sees to that."""


def home() -> Path:
    """Return where state lives: `FLOWBENCH_HOME`, or `runs` in the working directory."""
    return Path(os.environ.get("FLOWBENCH_HOME", "runs")).absolute()


def write_atomically(path: Path, text: str, *, durably: bool = True) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never a part.

    Args:
        path: the file; its directory is made.
        text: its content.
        durably: wait until it is on the disk, so that a crash of the machine does not lose it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            if durably:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
