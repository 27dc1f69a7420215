"""What is seen, as an address that can be shared: the view, its filters and the chosen runs."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode

FIRST_VIEW = "overview"


@dataclass(frozen=True)
class Address:
    """A view and what of the record it shows; what is empty stands for all."""

    view: str = FIRST_VIEW
    sweep: str = ""
    data: str = ""
    families: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    """The runs that were chosen, for the views of single runs."""
    filters: str = ""
    """The filters of a table's columns, as ag-grid's JSON."""
    order: str = ""
    """How a table is sorted: `bits_per_dim.asc,family.desc`."""

    @classmethod
    def read(cls, path: str | None, search: str | None) -> "Address":
        """Read an address; keys that it does not know are left out."""
        values = parse_qs((search or "").removeprefix("?"))

        def one(key: str) -> str:
            return values.get(key, [""])[0]

        return cls(
            view=unquote(path or "").strip("/") or FIRST_VIEW,
            sweep=one("sweep"),
            data=one("data"),
            families=tuple(values.get("family", ())),
            runs=tuple(values.get("run", ())),
            filters=one("filters"),
            order=one("order"),
        )

    @property
    def search(self) -> str:
        """The part of the address after its path; empty where nothing is chosen."""
        pairs = [("sweep", self.sweep), ("data", self.data)]
        pairs += [("family", family) for family in self.families]
        pairs += [("run", run) for run in self.runs]
        pairs += [("filters", self.filters), ("order", self.order)]
        given = urlencode([(key, value) for key, value in pairs if value])
        return f"?{given}" if given else ""

    @property
    def href(self) -> str:
        return f"/{quote(self.view)}{self.search}"

    def at(self, view: str) -> "Address":
        """Return the address of another view of the same data; a table's order stays behind."""
        return replace(self, view=view, runs=(), filters="", order="")

    def of_run(self, run: str) -> "Address":
        """Return the address of a run's own view."""
        return replace(self.at("run"), runs=(run,))

    def beside(self, runs: Iterable[str]) -> "Address":
        """Return the address of the view that shows runs side by side."""
        return replace(self.at("compare"), runs=tuple(runs))

    def filtered(self, **changes: Any) -> "Address":
        """Return the same view of other data."""
        return replace(self, **changes)
