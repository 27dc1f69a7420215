"""A PostgreSQL of our own, and an MLflow server: those of the integration tests."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests/integration"))


@contextmanager
def postgres() -> Iterator[str | None]:
    """Start a new PostgreSQL and yield its database's address; None where none is installed."""
    from services.postgres import Postgres, programs

    if programs() is None:
        yield None
        return
    with Postgres() as server:
        yield server.url("public").partition("?")[0].replace("+psycopg", "")


@contextmanager
def mlflow_server(directory: Path, database: str | None = None) -> Iterator[str]:
    """Start an MLflow server with one worker on a database; yield its address.

    Args:
        directory: for its files, and for a new SQLite database where none is given.
        database: SQLAlchemy's address of it.
    """
    from services.mlflow_server import MlflowServer

    with MlflowServer(directory, database) as server:
        yield server.uri
