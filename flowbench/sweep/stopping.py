"""Ctrl-C, SIGTERM and SIGHUP as a wish that the driver looks at, a second one at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Whether the user asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
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
def stop_requests() -> Iterator[StopRequest]:
    """Catch the signals inside the block; the main thread only."""
    request = StopRequest()
    before = {number: signal.signal(number, request._ask) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
