"""Where a sweep's state lives: SQLite files under `runs/`, or one PostgreSQL database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowbench.database import Patience, described, migrating, schema_url, shared_database
from flowbench.run_directory import home
from flowbench.sweep.leases import LEASE_SECONDS, TABLE, Leases, PostgresLeases, SingleDriver

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage


class Storage:
    """Optuna's studies and the leases of drivers.

    Args:
        url: a PostgreSQL database; by default the one that `FLOWBENCH_STORAGE` names, and SQLite
            where it names none.
        lease_seconds: how long a silent driver keeps its runs.
    """

    def __init__(self, url: str | None = None, lease_seconds: float = LEASE_SECONDS) -> None:
        self.url = url or shared_database()
        self.lease_seconds = lease_seconds
        self.patience = Patience(self.url) if self.url else None
        self._studies: BaseStorage | None = None

    @property
    def shared(self) -> bool:
        """Whether several drivers may run one sweep."""
        return self.url is not None

    @property
    def described(self) -> str:
        """Where state is, without passwords; empty for SQLite under the home directory."""
        return described(self.url) if self.url else ""

    def studies(self) -> "BaseStorage":
        """Open Optuna's storage.

        Raises:
            InputError: if the database cannot be reached.
        """
        if self._studies is None:
            self._studies = self._open()
        return self._studies

    def _open(self) -> "BaseStorage":
        if self.url is None or self.patience is None:
            return open_storage(home() / "optuna.db")
        from flowbench.sweep.patient import PatientStorage

        url = schema_url(self.url, "optuna")
        with migrating(url):
            return PatientStorage(_postgres_studies(url), self.patience)

    def knows(self, sweep: str) -> bool:
        """Say whether there are studies of a sweep."""
        import optuna

        names = optuna.get_all_study_names(self.studies())
        return any(name.split("/")[0] == sweep for name in names)

    def forget(self, sweep: str) -> None:
        """Delete a sweep's studies and leases, as if it had never been."""
        import optuna

        studies = self.studies()
        for name in optuna.get_all_study_names(studies):
            if name.split("/")[0] == sweep:
                optuna.delete_study(study_name=name, storage=studies)
        with self.leases(sweep) as leases:
            leases.forget()

    @contextmanager
    def leases(self, sweep: str) -> Iterator[Leases]:
        """Hold leases on a sweep's runs; what is not finished is let go of at the end."""
        if self.url is None or self.patience is None:
            yield SingleDriver()
            return
        url = schema_url(self.url, "flowbench")
        with migrating(url) as database:
            database.rows(TABLE)
        leases = PostgresLeases(url, sweep, self.patience, self.lease_seconds)
        try:
            yield leases
        finally:
            leases.close()


def open_storage(path: Path) -> "RDBStorage":
    """Open Optuna's SQLite database in WAL mode.

    With `synchronous=NORMAL` a trial's writes take 0.03 s instead of 0.30 s, and a crash of the
    machine (not of a process) can lose the last ones, which `resume` reads from run directories.
    """
    from optuna.storages import RDBStorage
    from sqlalchemy import event

    _quieten()
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 30}})

    def quicken(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(storage.engine, "connect", quicken)
    storage.engine.dispose()  # connections made before the listener was there
    return storage


def _postgres_studies(url: str) -> "RDBStorage":
    from optuna.storages import RDBStorage

    _quieten()
    # A driver is one thread; a connection that the server closed is noticed before it is used.
    return RDBStorage(url, engine_kwargs={"pool_pre_ping": True, "pool_size": 1})


def _quieten() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
