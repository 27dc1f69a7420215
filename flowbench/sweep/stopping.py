"""Wishes to stop that a driver looks at: signals, a second one at once, and a sweep's file."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Whether the user asked to stop, and by which signal.

    A file, which reaches drivers on any machine, counts as SIGTERM.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.signal: int | None = None

    def __bool__(self) -> bool:
        if self.signal is None and self.file is not None and self.file.exists():
            self.signal = signal.SIGTERM
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.signal or 0)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:
            # Trials end with their parent, so leaving at once leaves none behind.
            os._exit(128 + number)
        self.signal = number


@contextmanager
def stop_requests(file: Path | None = None) -> Iterator[StopRequest]:
    """Catch the signals inside the block, and heed the file; the main thread only."""
    request = StopRequest(file)
    before = {number: signal.signal(number, request._ask) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
