"""A sweep on disk: `runs/<sweep>/`, its specification, its driver's lock."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from flowbench.errors import InputError
from flowbench.run_directory import write_atomically
from flowbench.spec.sweep import SweepSpec
from flowbench.spec.validation import validated


class SweepDirectory:
    """The directory of one sweep; its runs have directories of their own beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def _spec_path(self) -> Path:
        return self.path / "sweep.json"

    def spec(self) -> SweepSpec:
        """Read the specification.

        Raises:
            InputError: if there is no such sweep.
        """
        if not self._spec_path.is_file():
            raise InputError(f"{self.path.name}: no such sweep under {self.path.parent}")
        values = json.loads(self._spec_path.read_text())
        return validated(SweepSpec, values, where={"": str(self._spec_path)})

    def claim(self, sweep: SweepSpec) -> None:
        """Write the specification of a new sweep; that of an existing one must be the same.

        Raises:
            InputError: if a sweep of this name exists with other contents, or another kind of
                thing has the name.
        """
        if not self._spec_path.is_file():
            if (self.path / "spec.json").is_file():
                raise InputError(f"name = {sweep.name!r}: a run of this name exists")
            write_atomically(self._spec_path, sweep.model_dump_json(indent=1))
        elif self.spec().hash != sweep.hash:
            raise InputError(
                f"name = {sweep.name!r}: a sweep of this name exists with other contents"
                f" ({self._spec_path}); choose another name, or go on with it by"
                f" `flowbench sweep resume {sweep.name}`"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the sweep for one driver; the lock ends with the process, however it ends.

        Raises:
            InputError: if another driver runs the sweep.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self._lock_path.open("a+") as file:
            if not _lock(file):
                raise InputError(f"sweep {self.path.name} is being run by process {self.driver()}")
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def driver(self) -> int | None:
        """Return the process that runs the sweep, None where none does."""
        if not self._lock_path.is_file():
            return None
        with self._lock_path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0)
        return None

    def driven_since(self) -> float | None:
        """Return when the driver that runs the sweep took it, in seconds since 1970."""
        return None if self.driver() is None else self._lock_path.stat().st_mtime

    @property
    def _lock_path(self) -> Path:
        return self.path / "driver.lock"

    @property
    def log(self) -> Path:
        """Where the processes that measure speed write."""
        return self.path / "speed.log"

    @property
    def finished(self) -> bool:
        """Whether every stage was gone through."""
        return (self.path / "FINISHED").exists()

    def mark_finished(self) -> None:
        (self.path / "FINISHED").touch()

    def defaults(self) -> dict[str, dict[str, Any]] | None:
        """Return the families' defaults as they were when the sweep was first checked."""
        path = self.path / "defaults.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def write_defaults(self, defaults: dict[str, dict[str, Any]]) -> None:
        write_atomically(self.path / "defaults.json", json.dumps(defaults, indent=1))


def _lock(file: IO[str], patience: float = 1.0) -> bool:
    """Take the lock; whoever asks for the driver holds it for a moment, so this tries a while."""
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
