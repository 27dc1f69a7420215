"""A full disk, told as one sentence instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowbench.errors import InputError
from flowbench.run_directory import NO_ROOM


class DiskFull(InputError):
    """No space left in the run directory; what was finished is kept."""

    def __init__(self, home: Path, how_to_go_on: str) -> None:
        super().__init__(
            f"no space left in {home}: what was finished is kept; make room, then {how_to_go_on}"
        )


def is_full(error: BaseException | None) -> bool:
    """Say whether an error, or what caused it, is a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return True
        if "database or disk is full" in str(error):  # SQLite, through SQLAlchemy
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def sentence_when_full(home: Path, how_to_go_on: str) -> Iterator[None]:
    """Turn a full disk inside the block into `DiskFull`."""
    try:
        yield
    except DiskFull:
        raise
    except Exception as error:
        if is_full(error):
            raise DiskFull(home, how_to_go_on) from None
        raise
