"""Something on disk that changes, read in the background: a page waits for it once at most."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

SHARE = 0.2
"""The most of the time that is spent on reading: what takes long is read less often."""


class Followed(Generic[Value]):
    """The last known value of something.

    Args:
        read: reads it.
        every: seconds for which it counts as new.
    """

    def __init__(self, read: Callable[[], Value], every: float) -> None:
        self._read = read
        self._every = every
        self._lock = threading.Lock()
        self._known: Value | None = None
        self._due = 0.0

    def get(self) -> Value:
        """Return what is known, and see to it that the next caller gets what is new.

        Only the first call waits.

        Raises:
            Exception: what the first reading raises; later ones keep what was known.
        """
        if self._known is None:
            with self._lock:
                if self._known is None:
                    self._look()
        elif time.monotonic() > self._due and self._lock.acquire(blocking=False):
            threading.Thread(target=self._look_and_release, daemon=True).start()
        known = self._known
        assert known is not None
        return known

    def peek(self) -> Value | None:
        """Return what is known, None before the first reading, which then begins; never wait."""
        if self._known is None:
            if self._lock.acquire(blocking=False):
                threading.Thread(target=self._look_and_release, daemon=True).start()
            return None
        return self.get()

    def _look(self) -> None:
        began = time.monotonic()
        self._known = self._read()
        took = time.monotonic() - began
        self._due = time.monotonic() + max(self._every, took / SHARE)

    def _look_and_release(self) -> None:
        try:
            self._look()
        except Exception:  # a file that is being written, or removed: it is read again
            self._due = time.monotonic() + self._every
        finally:
            self._lock.release()
