"""Where the record lives, and a client for it."""

import fcntl
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from flowbench.database import DRIVER as POSTGRES
from flowbench.database import migrating, schema_url, shared_database
from flowbench.run_directory import home

if TYPE_CHECKING:
    from mlflow import MlflowClient


SQLITE = "sqlite:///"
VARIABLE = "MLFLOW_TRACKING_URI"
"""Environment: MLflow's own name for the address of a record."""


def default_tracking_uri() -> str:
    """Return the record's address: as the environment names it, else under the home directory.

    `MLFLOW_TRACKING_URI` goes first; the database of `FLOWBENCH_STORAGE` has a schema for it.
    """
    if address := os.environ.get(VARIABLE):
        return address
    shared = shared_database()
    return f"{SQLITE}{home() / 'mlflow.db'}" if shared is None else schema_url(shared, "mlflow")


@cache
def connect(tracking_uri: str) -> "MlflowClient":
    """Return the client; a database of ours is created or migrated under a lock, the first time.

    Two processes that create one SQLite record at once crash in its migrations.
    """
    # The record's own reporting home has no place in an offline tool.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # A server that is down is asked again later; MLflow's seven tries would hold a driver up for
    # minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # It prints a traceback of each error that it also raises.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with locked(tracking_uri), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = MlflowClient(tracking_uri=tracking_uri)
        client.search_experiments(max_results=1)
    return client


def exists(tracking_uri: str) -> bool:
    """Say whether there is a record, without making one; a server is taken at its word."""
    if not tracking_uri.startswith(SQLITE):
        return True
    return Path(tracking_uri.removeprefix(SQLITE)).is_file()


@contextmanager
def locked(tracking_uri: str) -> Iterator[None]:
    """Hold the right to create and migrate a database of ours; nothing for a server, which has it.

    Raises:
        InputError: if a PostgreSQL database cannot be reached.
    """
    if tracking_uri.startswith(POSTGRES):
        with migrating(tracking_uri):
            yield
        return
    if not tracking_uri.startswith(SQLITE):
        yield
        return
    database = Path(tracking_uri.removeprefix(SQLITE))
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f".{database.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def reason(error: BaseException) -> str:
    """Return what began an error: around that are requests, statements and advice."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return " ".join(str(error).split())
