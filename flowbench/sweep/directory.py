"""A sweep on disk: `runs/<sweep>/`, its specification, its driver's lock."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flowbench.database import VARIABLE
from flowbench.errors import InputError
from flowbench.run_directory import write_atomically
from flowbench.spec.sweep import SweepSpec
from flowbench.spec.validation import validated
from flowbench.sweep.locks import Holder, held, holder


class SweepDirectory:
    """The directory of one sweep; its runs have directories of their own beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def _spec_path(self) -> Path:
        return self.path / "sweep.json"

    @property
    def exists(self) -> bool:
        """Whether there is a sweep here."""
        return self._spec_path.is_file()

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
    def locked(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the sweep for one driver; the lock ends with the process, however it ends.

        Args:
            shared: hold it beside other drivers, each with a lock of its own.

        Raises:
            InputError: if another driver runs the sweep, and either is not shared.
        """
        name = f"driver-{socket.gethostname()}-{os.getpid()}.lock" if shared else "driver.lock"
        with held(self.path / name) as mine:
            if not mine:
                raise InputError(f"sweep {self.path.name} is being run by process {self.driver()}")
            try:
                yield
            finally:
                if shared:
                    (self.path / name).unlink(missing_ok=True)

    def drivers(self) -> list[Holder]:
        """Return the processes that run the sweep, the first that took it first."""
        found = [holder(path) for path in self.path.glob("driver*.lock")]
        return sorted((h for h in found if h is not None), key=lambda h: h.since)

    def driver(self) -> int | None:
        """Return the process that runs the sweep, None where none does."""
        return next((holder.pid for holder in self.drivers()), None)

    def driven_since(self) -> float | None:
        """Return when the driver that runs the sweep took it, in seconds since 1970."""
        return next((holder.since for holder in self.drivers()), None)

    def keep_in(self, storage: str) -> None:
        """Note where the sweep's state is; it must be the same each time.

        Args:
            storage: a database's address; empty for the files under the home directory.

        Raises:
            InputError: if it is elsewhere.
        """
        path = self.path / "storage"
        if not path.is_file():
            write_atomically(path, storage)
        elif (there := path.read_text()) != storage:
            name = self.path.name
            if there:
                raise InputError(
                    f"sweep {name} is kept in {there}: set {VARIABLE} to that database"
                )
            raise InputError(
                f"sweep {name} is kept in files under {self.path.parent}: unset {VARIABLE}"
            )

    @property
    def stop_file(self) -> Path:
        """Its presence asks the drivers of this sweep to stop, on whatever machine they run."""
        return self.path / "STOP"

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
