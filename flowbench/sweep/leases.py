"""Who may run what: leases on a sweep's runs, so that several drivers do each exactly once."""

import os
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Protocol

import psutil

from flowbench.database import Database, Patience

LEASE_SECONDS = 60.0
"""How long a driver that says nothing is waited for before its trials are given to others."""
TURN_SECONDS = 10.0


class Leases(Protocol):
    """The runs that this driver holds."""

    shared: bool
    """Whether other drivers may hold some."""

    def take(self, name: str) -> int | None:
        """Take a run that is free, finished by nobody, or held by a driver that is gone.

        Returns:
            How often it was taken before: the least number of its next attempt; None where it is
            not to be had.
        """

    def holds(self, name: str) -> bool:
        """Say whether a run is still this driver's, which it then is for a whole lease more."""

    def finish(self, name: str) -> None:
        """Give up a run for good: nobody takes it again."""

    def release(self, name: str) -> None:
        """Give up a run; whoever wants it can take it."""

    def finished(self) -> Collection[str]:
        """Return the runs that were given up for good, by any driver."""

    def forget(self) -> None:
        """Delete every lease of the sweep."""

    def renew(self) -> Collection[str]:
        """Renew what is due; return the runs that another driver has taken meanwhile."""

    def turn(self, what: str, seconds: float = TURN_SECONDS) -> AbstractContextManager[bool]:
        """Keep other drivers from doing something at the same time; yields whether that is so."""


class SingleDriver:
    """The leases of a sweep that one driver alone runs, which a lock on its directory ensures."""

    shared = False

    def __init__(self) -> None:
        self._finished: set[str] = set()

    def take(self, name: str) -> int | None:
        return None if name in self._finished else 0

    def holds(self, name: str) -> bool:
        return True

    def finish(self, name: str) -> None:
        self._finished.add(name)

    def release(self, name: str) -> None:
        pass

    def finished(self) -> Collection[str]:
        return self._finished

    def forget(self) -> None:
        self._finished.clear()

    def renew(self) -> Collection[str]:
        return ()

    def turn(self, what: str, seconds: float = TURN_SECONDS) -> AbstractContextManager[bool]:
        return nullcontext(True)


TABLE = """
CREATE TABLE IF NOT EXISTS leases (
    name text PRIMARY KEY,
    driver text NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    expires timestamptz NOT NULL,
    finished boolean NOT NULL DEFAULT false
)"""

# What a driver lets go of, or was killed with, is free at once. When the server comes back every
# lease may have run out: so whoever has just connected gives the others the time of a lease first.
TAKE = """
INSERT INTO leases AS held (name, driver, expires)
VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s))
ON CONFLICT (name) DO UPDATE
SET driver = excluded.driver, attempt = held.attempt + 1, expires = excluded.expires
WHERE NOT held.finished AND (
    held.driver = excluded.driver
    OR held.expires = '-infinity'
    OR (held.expires < clock_timestamp()
        AND make_interval(secs => %s) < clock_timestamp() - (
            SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()))
)
RETURNING attempt"""

RENEW = """
UPDATE leases SET expires = clock_timestamp() + make_interval(secs => %s)
WHERE driver = %s AND NOT finished AND name = ANY(%s) RETURNING name"""

FINISH = "UPDATE leases SET finished = true WHERE driver = %s AND name = %s"
RELEASE = "UPDATE leases SET expires = '-infinity' WHERE driver = %s AND name = ANY(%s)"
FINISHED = "SELECT name FROM leases WHERE finished AND starts_with(name, %s)"
OTHERS = "SELECT DISTINCT driver FROM leases WHERE NOT finished AND expires > '-infinity'"
BURY = "UPDATE leases SET expires = '-infinity' WHERE driver = ANY(%s) AND NOT finished"


class PostgresLeases:
    """Leases in a table of the shared database, by its clock: those of the hosts may differ.

    A driver renews its leases in its event loop: one that hangs, or whose host is gone, loses them.

    Args:
        url: SQLAlchemy's address of the schema that has, or gets, the table `leases`.
        sweep: the sweep whose runs are leased; their names begin with it.
        seconds: how long a lease runs.
        patience: waits for the server.
    """

    shared = True

    def __init__(
        self, url: str, sweep: str, patience: Patience, seconds: float = LEASE_SECONDS
    ) -> None:
        self.driver = driver_name()
        self._database = Database(url, patience)
        self._prefix = f"{sweep}."
        self._seconds = seconds
        self._held: set[str] = set()
        self._renewed = time.monotonic()
        self._bury()

    def take(self, name: str) -> int | None:
        taken = self._database.rows(TAKE, name, self.driver, self._seconds, self._seconds)
        if not taken:
            return None
        self._held.add(name)
        return int(taken[0][0])

    def holds(self, name: str) -> bool:
        if name in self._held and not self._database.rows(
            RENEW, self._seconds, self.driver, [name]
        ):
            self._held.discard(name)
        return name in self._held

    def finish(self, name: str) -> None:
        self._database.rows(FINISH, self.driver, name)
        self._held.discard(name)

    def release(self, name: str) -> None:
        self._database.rows(RELEASE, self.driver, [name])
        self._held.discard(name)

    def finished(self) -> Collection[str]:
        return {name for (name,) in self._database.rows(FINISHED, self._prefix)}

    def forget(self) -> None:
        self._database.rows("DELETE FROM leases WHERE starts_with(name, %s)", self._prefix)
        self._held.clear()

    def renew(self) -> Collection[str]:
        if time.monotonic() < self._renewed + self._seconds / 6:
            return ()
        self._bury()
        kept = self._database.rows(RENEW, self._seconds, self.driver, sorted(self._held))
        self._renewed = time.monotonic()
        lost = self._held - {name for (name,) in kept}
        self._held -= lost
        return lost

    @contextmanager
    def turn(self, what: str, seconds: float = TURN_SECONDS) -> Iterator[bool]:
        with self._database.turn(what, seconds) as mine:
            yield mine

    def close(self) -> None:
        """Let go of everything; where the server is away, the leases run out by themselves."""
        impatient = Database(self._database.url)
        with suppress(Exception):
            impatient.rows(RELEASE, self.driver, sorted(self._held))
        impatient.close()
        self._database.close()

    def _bury(self) -> None:
        """Free what drivers of this host held that are gone."""
        others = [driver for (driver,) in self._database.rows(OTHERS)]
        if gone := [driver for driver in others if is_gone(driver)]:
            self._database.rows(BURY, gone)


def driver_name() -> str:
    """Return a name of this process that no other has: on any host, at any time."""
    pid = os.getpid()
    return f"{socket.gethostname()} {pid} {_started(pid)} {_machine()}"


def is_gone(driver: str) -> bool:
    """Say whether a driver was one of this machine, and has ended."""
    _, pid, started, machine = driver.rsplit(" ", 3)
    return machine == _machine() and _started(int(pid)) != started


def _started(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return f"{process.create_time():.1f}"
    except psutil.NoSuchProcess:
        return ""


def _machine() -> str:
    """Return what two processes share that see each other: a boot, and a space of process ids."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
