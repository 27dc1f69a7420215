"""The views as they are shown: made in the background, so that every page answers at once."""

import logging
from collections import OrderedDict
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from threading import Lock

from dash.development.base_component import Component

from flowbench.dashboard import parts
from flowbench.dashboard.address import Address
from flowbench.dashboard.kept import Kept
from flowbench.dashboard.record import Record
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.snapshot import Snapshot
from flowbench.dashboard.views.base import View
from flowbench.dashboard.views.registry import VIEWS

logger = logging.getLogger(__name__)

PATIENCE = 0.5
"""Seconds that a page waits for its view; then it says that it is being made."""
AT_ONCE = 3
"""Views that are made side by side."""
KEPT = 60
"""Views that are kept, each while the record stays as it is."""


class Shown:
    """What each address shows.

    A view that takes longer than a page should wait is made in the background; until it is ready
    the page shows what it showed before, and `version` tells the page when to ask again.

    Args:
        record: what is shown.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._makers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="view")
        self._lock = Lock()
        self._made: OrderedDict[Hashable, Future[Component]] = OrderedDict()
        self._before: Kept[Component] = Kept(KEPT)

    def get(self, address: Address) -> tuple[Component, str]:
        """Return what an address shows, and the version of that.

        Args:
            address: what is asked for.
        """
        snapshot, view = self._record.snapshot, VIEWS.get(address.view)
        if view is None:
            return parts.nothing(f"{address.view}: no such view."), ""
        if snapshot is None:
            return parts.first_reading(self._record), self.version(address)
        making = self._making(snapshot, view, address)
        try:
            made = making.result(PATIENCE)
        except NotYet:
            waiting = self._before.known(address.href) or parts.making(view.title, view.question)
            return waiting, self._version(snapshot, view, address, ready=False)
        self._before.put(address.href, made)
        return made, self._version(snapshot, view, address, ready=True)

    def version(self, address: Address) -> str:
        """Return a text that differs from that of `get` when the address has more to show."""
        snapshot, view = self._record.snapshot, VIEWS.get(address.view)
        if view is None:
            return ""
        if snapshot is None:
            progress = self._record.progress
            return f"{progress.done}/{progress.total} {progress.trouble}"
        making = self._made.get(_key(snapshot, view, address))
        # A table that was sorted anew is on the page already: nobody has asked for it here.
        ready = making is None or making.done()
        return self._version(snapshot, view, address, ready=ready)

    def _version(self, snapshot: Snapshot, view: View, address: Address, *, ready: bool) -> str:
        place = address.filtered(filters="", order="").href
        return f"{place} {snapshot.version} {view.state(address)} {'ready' if ready else 'making'}"

    def _making(self, snapshot: Snapshot, view: View, address: Address) -> Future[Component]:
        """Return the making of a view at this moment of the record; it is begun where it is not."""
        key = _key(snapshot, view, address)
        with self._lock:
            if key not in self._made:
                self._made[key] = self._makers.submit(_make, snapshot, view, address)
                while len(self._made) > KEPT:
                    self._made.popitem(last=False)[1].cancel()
            self._made.move_to_end(key)
            return self._made[key]


def _key(snapshot: Snapshot, view: View, address: Address) -> Hashable:
    return snapshot.version, address.href, view.state(address)


def _make(snapshot: Snapshot, view: View, address: Address) -> Component:
    try:
        return view.show(Seen(snapshot, address))
    except Exception as error:
        # One run that cannot be read should not leave a person before an empty page.
        logger.exception("the view %s failed", address.href)
        return parts.page(
            view.title, view.question, parts.nothing(f"This view could not be made: {error}")
        )
