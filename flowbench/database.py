"""The PostgreSQL database that drivers on several hosts share, a schema for each of its users.

Optuna and MLflow both own a table `alembic_version`, and whichever comes second in one schema
refuses to start; so each connection's search path names the schema of its user.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from flowbench.errors import InputError, RunFailed

if TYPE_CHECKING:
    from psycopg import Connection

logger = logging.getLogger(__name__)

VARIABLE = "FLOWBENCH_STORAGE"
"""Environment: the address of the shared database; without it state is in SQLite files."""
SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
DRIVER = "postgresql+psycopg"
"""SQLAlchemy's name of PostgreSQL by way of psycopg 3."""

ANSWER_SECONDS = 600.0
"""How long a server that was there before is waited for."""
BETWEEN_TRIES = 0.2

AWAY = ("57P01", "57P02", "57P03", "53300", "40001", "40P01")
"""SQLSTATEs that pass: shut down, crashed, starting up, too many connections, a lost race."""

# A host that is gone without a word is noticed within a minute.
LIFE_SIGNS = {"connect_timeout": "10", "keepalives_idle": "20", "tcp_user_timeout": "60000"}

T = TypeVar("T")


def shared_database() -> str | None:
    """Return the address of the shared database, None where state is in SQLite files.

    Raises:
        InputError: if `FLOWBENCH_STORAGE` is no PostgreSQL address, or psycopg is not installed.
    """
    url = os.environ.get(VARIABLE)
    if not url:
        return None
    if urlsplit(url).scheme not in SCHEMES or not urlsplit(url).path.strip("/"):
        raise InputError(
            f"{VARIABLE}: {described(url)} is no address of a database; allowed:"
            " postgresql://USER:PASSWORD@HOST/DATABASE"
        )
    try:
        import psycopg  # noqa: F401 - an optional extra
    except ImportError:
        raise InputError(
            f"{VARIABLE}: PostgreSQL needs an extra: pip install 'flowbench[postgres]'"
        ) from None
    return url


def schema_url(url: str, schema: str) -> str:
    """Return SQLAlchemy's address of one schema of a database."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    options = f"{query.pop('options', '')} -csearch_path={schema}".strip()
    text = urlencode({**LIFE_SIGNS, **query, "options": options}, quote_via=quote)
    return urlunsplit((DRIVER, parts.netloc, parts.path, text, ""))


def described(url: str) -> str:
    """Return an address without the user and the password: fit for a message or a file."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Patience:
    """Repeats what a server did not answer, for as long as that is worth while.

    Whatever is called may be done twice, where the server went away between a commit and its
    answer.

    Args:
        url: the server's database.
        seconds: how long it is waited for.
    """

    def __init__(self, url: str, seconds: float = ANSWER_SECONDS) -> None:
        self.where = described(url)
        self.seconds = seconds
        self.say: Callable[[str], None] = logger.warning
        """Who tells the user that a server is waited for."""

    def __call__(self, call: Callable[[], T]) -> T:
        """Call until the server answers.

        Raises:
            RunFailed: if it did not in time.
        """
        try:
            return call()
        except Exception as error:
            if not is_away(error):
                raise
        self.say(f"{self.where} does not answer; waiting for it, {self.seconds / 60:g} min at most")
        deadline = time.monotonic() + self.seconds
        while time.monotonic() < deadline:
            time.sleep(BETWEEN_TRIES)
            try:
                result = call()
            except Exception as error:
                if not is_away(error):
                    raise
            else:
                self.say(f"{self.where} answers again")
                return result
        raise RunFailed(
            f"{self.where} did not answer for {self.seconds / 60:g} min; what was finished is kept"
        )


def is_away(error: BaseException | None) -> bool:
    """Say whether an error, or what caused it, is a server that does not answer for now."""
    from psycopg import InterfaceError, OperationalError
    from sqlalchemy.exc import PendingRollbackError

    while error is not None:
        if isinstance(error, OperationalError | InterfaceError):
            return error.sqlstate is None or error.sqlstate in AWAY
        # A transaction that the server's end broke, and that was then used again.
        if isinstance(error, PendingRollbackError):
            return True
        error = getattr(error, "orig", None) or error.__cause__ or error.__context__
    return False


class Database:
    """One connection to a schema, made anew when the server comes back.

    Args:
        url: SQLAlchemy's address of the schema, see `schema_url`.
        patience: waits for the server; by default its absence is an error at once.
    """

    def __init__(self, url: str, patience: Patience | None = None) -> None:
        self.url = url
        self._patience = patience
        self._open: Connection[Any] | None = None

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement, in a transaction of its own, and return what it gives."""

        def run() -> list[tuple[Any, ...]]:
            try:
                cursor = self._connection().execute(statement, values)
                return cursor.fetchall() if cursor.description else []
            except Exception as error:
                if is_away(error):
                    self.close()
                raise

        return run() if self._patience is None else self._patience(run)

    @contextmanager
    def turn(self, what: str, seconds: float) -> Iterator[bool]:
        """Hold a name against all other connections.

        Args:
            what: the name.
            seconds: how long whoever holds it is waited for.

        Yields:
            Whether it is held.
        """
        key = f"flowbench/{what}"
        deadline = time.monotonic() + seconds
        ask = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
        while not (held := self.rows(ask, key)[0][0]) and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            yield held
        finally:
            # A connection that was lost in between has let go by itself.
            if held and self._open is not None and not self._open.closed:
                with suppress(Exception):
                    self._open.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (key,))

    def close(self) -> None:
        if self._open is not None:
            with suppress(Exception):
                self._open.close()
        self._open = None

    def _connection(self) -> "Connection[Any]":
        import psycopg

        if self._open is None or self._open.closed:
            self._open = psycopg.connect(self.url.replace(DRIVER, "postgresql", 1), autocommit=True)
        return self._open


OPENING_SECONDS = 300.0


@contextmanager
def migrating(url: str) -> Iterator[Database]:
    """Hold the right to create and migrate tables; the schema of the address is there.

    Two processes that create one set of tables at once crash in each other's migrations.

    Args:
        url: SQLAlchemy's address of a schema.

    Raises:
        InputError: if the server cannot be reached, or refuses.
    """
    import psycopg

    database = Database(url)
    try:
        with database.turn("migrating", OPENING_SECONDS):
            for schema in _search_path(url):
                there = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
                if not database.rows(there, schema):
                    database.rows(f'CREATE SCHEMA "{schema}"')
            yield database
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{described(url)}: {reason}") from None
    finally:
        database.close()


def _search_path(url: str) -> Sequence[str]:
    """Return the schemas that an address names."""
    options = dict(parse_qsl(urlsplit(url).query)).get("options", "")
    paths = [word.partition("=")[2] for word in options.split() if "search_path=" in word]
    return [schema.strip() for path in paths for schema in path.split(",")]
