"""The record, followed in the background: what is shown is never older than a few seconds."""

import logging
import threading
import time
from dataclasses import dataclass

from flowbench.compare.runs import Frame, tidy
from flowbench.dashboard.snapshot import Snapshot
from flowbench.errors import InputError
from flowbench.tracking.mirror import Mirror

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often the record is asked whether it holds anything new."""

SHARE = 0.2
"""The most of the time that is spent on looking."""


@dataclass(frozen=True)
class Progress:
    """How far the reading of the record is."""

    done: int = 0
    total: int = 0
    trouble: str = ""
    """Why the record cannot be read, in a sentence; it is tried again."""


class Record:
    """Follows a record in a thread of its own, so that no page waits for it."""

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri = tracking_uri
        self.progress = Progress()
        self._mirror = Mirror(tracking_uri)
        self._snapshot: Snapshot | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="record", daemon=True)

    @property
    def snapshot(self) -> Snapshot | None:
        """The record as it was last read; None before the first time."""
        return self._snapshot

    def start(self) -> None:
        """Begin to follow the record."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following it."""
        self._stop.set()

    def look(self) -> None:
        """Read what is new; a page sees the whole of it or nothing.

        Raises:
            InputError: if the record cannot be read.
        """
        self._mirror.synchronise(self._told)
        version = self._mirror.version
        if self._snapshot is not None and self._snapshot.version == version:
            return
        snapshot = Snapshot(Frame(self.tracking_uri, tidy(self._mirror.runs())), version)
        # The first page that asks should not wait for what every page needs.
        snapshot.flags("")
        self._snapshot = snapshot

    def _told(self, done: int, total: int) -> None:
        self.progress = Progress(done, total)

    def _follow(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self.look()
                self.progress = Progress()
            except InputError as error:  # the record may be away for a while
                self.progress = Progress(trouble=str(error))
            except Exception:
                logger.exception("the record could not be followed")
                self.progress = Progress(trouble="the record could not be read: see the terminal")
            # A large record that changes all the time should not take a processor for itself.
            self._stop.wait(max(LOOK_SECONDS, (time.monotonic() - began) / SHARE))
