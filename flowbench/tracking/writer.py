"""A thread that writes the record, so that a driver never waits for a slow or dead server."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Self

from flowbench.run_directory import RunDirectory
from flowbench.tracking.record import Recorder

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""Time between two tries at a record that does not answer."""
LEAVING_SECONDS = 5.0
"""Time that a driver which was stopped gives the record."""
LEAVING_RETRY_SECONDS = 0.5
"""Time between two tries then: a full disk can be read, and so answers, but takes nothing."""
ENDING_SECONDS = 60.0
"""Time without any progress after which a driver at its end leaves the rest for later."""

Send = Callable[[], bool]


class RecordWriter:
    """Sends what is added, in order, once and again until it is in the record.

    Use as a context manager; what could not be sent by its end is in the run directories, and is
    added again by whoever resumes the sweep.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._waiting: dict[tuple[str, str], Send] = {}
        self._changed = threading.Condition()
        self._leaving = False
        self._progress = time.monotonic()
        # A daemon: a server that never answers must not keep the program from ending.
        self._thread = threading.Thread(target=self._work, name="record", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish(LEAVING_SECONDS)

    def add_sweep(self, name: str, sweep_hash: str, specification: str) -> None:
        """Send the parent run of a sweep."""
        send = partial(self._recorder.record_sweep, name, sweep_hash, specification)
        self._add(("sweep", name), send)

    def add(self, runs: Iterable[RunDirectory]) -> None:
        """Send finished runs and their later measurements, as far as they are not sent."""
        for run in runs:
            self._add(("run", run.id), partial(self._sync, run))

    def add_model(self, run: RunDirectory) -> None:
        """Send the model of a run that turned out to be the best of its search."""
        self._add(("model", run.id), partial(self._recorder.keep_model, run))

    def finish(self, patience: float = ENDING_SECONDS) -> int:
        """Wait until everything is sent, or the record does not answer.

        Args:
            patience: seconds without progress after which the rest is left.

        Returns:
            How much could not be sent.
        """
        with self._changed:
            self._leaving = True
            self._progress = time.monotonic()
            self._changed.notify()
        while self._thread.is_alive() and time.monotonic() < self._progress + patience:
            self._thread.join(0.1)
        return len(self._waiting)

    def _sync(self, run: RunDirectory) -> bool:
        return self._recorder.sync([run]) == 0

    def _add(self, key: tuple[str, str], send: Send) -> None:
        with self._changed:
            self._waiting[key] = send
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._leaving)
                if not self._waiting:
                    return
                key, send = next(iter(self._waiting.items()))
            sent = self._try(send)
            with self._changed:
                if sent and self._waiting[key] is send:  # not added anew meanwhile
                    del self._waiting[key]
                    self._progress = time.monotonic()
                elif not sent:
                    self._waiting[key] = self._waiting.pop(key)  # the others first
            if not sent and not self._go_on():
                return

    def _go_on(self) -> bool:
        """After a failure, wait a while; say whether there is still time for another try."""
        with self._changed:
            if not self._leaving:
                self._changed.wait_for(lambda: self._leaving, timeout=RETRY_SECONDS)
                return True
            overdue = time.monotonic() > self._progress + RETRY_SECONDS
        if overdue or not self._recorder.answers():
            return False
        time.sleep(LEAVING_RETRY_SECONDS)
        return True

    def _try(self, send: Send) -> bool:
        try:
            return send()
        except Exception as error:  # whatever it is, a sweep goes on
            logger.warning("writing the record: %s: %s", type(error).__name__, error)
            return False
