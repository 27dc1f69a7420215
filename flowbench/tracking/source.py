"""The runs of an MLflow record as its client hands them out, page by page.

What a page costs is making Python objects, and most of that was the garbage collector looking at
them again and again: without it 10,000 runs take a third of the time, in pages of any size.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from flowbench.database import described
from flowbench.errors import InputError
from flowbench.tracking import schema
from flowbench.tracking.store import connect, exists, reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

OLDEST_FIRST = ["attributes.start_time ASC", "attributes.run_id ASC"]
"""New runs come after what was read, and so move no page's edge."""


@dataclass(frozen=True)
class Source:
    """The experiment of a record."""

    page: ClassVar[int] = 250
    """Runs a page: some 50 MiB of Python objects where each has a hundred values."""

    client: "MlflowClient"
    tracking_uri: str
    experiment: str
    """MLflow's number of it."""
    created: int
    """Milliseconds since 1970: tells it from another one with the same number."""

    @classmethod
    def of(cls, tracking_uri: str) -> "Source | None":
        """Return a record's source; None where there is nothing in it yet.

        Raises:
            InputError: if the record cannot be read.
        """
        if not exists(tracking_uri):
            return None
        with reading(tracking_uri):
            client = connect(tracking_uri)
            found = client.get_experiment_by_name(schema.EXPERIMENT)
        if found is None:
            return None
        return cls(client, tracking_uri, found.experiment_id, found.creation_time or 0)

    def pages(self, query: str = "", *, deleted: bool = False) -> "Iterator[list[Run]]":
        """Read runs, the oldest first.

        Args:
            query: in MLflow's language.
            deleted: deleted ones too.

        Raises:
            InputError: if the record cannot be read.
        """
        token: str | None = None
        while True:
            page, token = self._page(query, self.page, token, deleted)
            yield page
            if not token:
                return

    def holds(self, runs: int, query: str = "", *, deleted: bool = False) -> bool:
        """Say whether the record holds exactly so many runs, by reading one at most."""
        if runs == 0:
            return not self._page(query, 1, None, deleted)[0]
        page, token = self._page(query, 1, _skipping(runs - 1), deleted)
        return len(page) == 1 and not token

    def count(self, at_least: int = 0) -> int:
        """Count the runs, deleted ones too, by looking where they end: some twenty small reads.

        Args:
            at_least: how many are known.
        """
        there, step = at_least, self.page
        while self._reaches(there + step):
            there, step = there + step, 2 * step
        beyond = there + step
        while beyond - there > 1:
            middle = (there + beyond) // 2
            there, beyond = (middle, beyond) if self._reaches(middle) else (there, middle)
        return there

    def _reaches(self, runs: int) -> bool:
        return bool(self._page("", 1, _skipping(runs - 1), deleted=True)[0])

    def _page(
        self, query: str, size: int, token: str | None, deleted: bool
    ) -> "tuple[list[Run], str | None]":
        from mlflow.entities import ViewType

        view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
        with reading(self.tracking_uri), _without_garbage_collection():
            page = self.client.search_runs(
                [self.experiment], query, view, size, OLDEST_FIRST, page_token=token
            )
            return list(page), page.token


@contextmanager
def reading(tracking_uri: str) -> Iterator[None]:
    """Say in a sentence that a record does not answer."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        where = described(tracking_uri) if ":" in tracking_uri else tracking_uri
        raise InputError(f"{where}: the record cannot be read: {reason(error)}") from None


def _skipping(runs: int) -> str | None:
    """Return MLflow's token of the page that begins after so many runs."""
    from mlflow.utils.search_utils import SearchUtils

    if not runs:
        return None
    token: bytes = SearchUtils.create_page_token(runs)  # type: ignore[no-untyped-call]
    return token.decode()


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Let the collector rest: it runs between two pages."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
