"""A PostgreSQL server with a database of its own in a temporary directory."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import psycopg

from services.processes import end, free_port, listens, start, wait_until

DEBIAN = Path("/usr/lib/postgresql")
SCHEMAS = ("optuna", "mlflow", "flowbench")
"""Optuna and MLflow both own a table `alembic_version`, so each has a schema of its own."""


def programs() -> Path | None:
    """Return the directory of the newest installed server's programs; None where there is none."""
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class Postgres:
    """A server on a free port of the loopback address, whose schemas are `SCHEMAS`.

    The server refuses to run as root: root starts it as the user that its package makes.
    """

    def __init__(self) -> None:
        found = programs()
        if found is None:
            raise FileNotFoundError("no PostgreSQL server is installed: make integration-packages")
        self._programs = found
        # Not under pytest's directory: that is closed to the server's user.
        self.path = Path(tempfile.mkdtemp(prefix="flowbench-postgres-"))
        self.log = self.path / "log"
        self.port = free_port()
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.path, user.pw_uid, user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.path)

    def url(self, schema: str) -> str:
        """Return SQLAlchemy's address of one schema, as psycopg 3 reads it."""
        return f"postgresql+psycopg://{self._address}?options=-csearch_path%3D{schema}"

    def connect(self) -> "psycopg.Connection[Any]":
        """Open a connection that commits each statement."""
        return psycopg.connect(f"postgresql://{self._address}", autocommit=True)

    @property
    def _address(self) -> str:
        return f"flowbench@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start the server, the first time on a new database, and wait until it answers."""
        data = self.path / "data"
        first = not data.exists()
        if first:
            create = [self._programs / "initdb", "-D", data, "-U", "flowbench", "-A", "trust"]
            subprocess.run(
                [*create, "-E", "UTF8", "--no-locale", "--no-sync"],
                check=True,
                stdout=subprocess.DEVNULL,
                cwd=self.path,
                **self._as,
            )
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 50,
            "fsync": "off",  # these databases need not outlive a crash of the machine
        }
        settings = [f"--{name}={value}" for name, value in options.items()]
        command = [str(self._programs / "postgres"), "-D", str(data), *settings]
        self._process = start(command, log=self.log, cwd=self.path, **self._as)
        wait_until(self._answers, "PostgreSQL answers", log=self.log)
        if first:
            with self.connect() as connection:
                for schema in SCHEMAS:
                    connection.execute(f"CREATE SCHEMA {schema}")

    def stop(self, *, immediately: bool = False) -> None:
        """Stop the server: after rolling back what runs, or immediately, as a crash would."""
        if self._process is not None:
            end(self._process, signal.SIGQUIT if immediately else signal.SIGINT)

    def restart(self, *, away: float = 0.0, immediately: bool = True) -> None:
        """Stop the server, leave it unreachable for `away` seconds, and start it again."""
        self.stop(immediately=immediately)
        time.sleep(away)
        self.start()

    def _answers(self) -> bool:
        if not listens(self.port):
            return False
        try:
            self.connect().close()
        except psycopg.OperationalError:  # starting up, or recovering
            return False
        return True
