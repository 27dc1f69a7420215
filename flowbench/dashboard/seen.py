"""What an address shows of a snapshot: its runs, its leaderboard, its data sets."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from flowbench.compare.runs import PROTOCOL, Frame
from flowbench.dashboard.address import Address
from flowbench.dashboard.snapshot import Snapshot
from flowbench.report.theme import order


@dataclass(frozen=True)
class Seen:
    """What a view shows: a moment of the record, and what of it the address asks for."""

    snapshot: Snapshot
    address: Address

    @property
    def frame(self) -> Frame:
        """The runs of the chosen sweep: what comparisons are made of, whatever is shown of them."""
        return self.snapshot.of_sweep(self.address.sweep)

    @property
    def leaderboard(self) -> pd.DataFrame:
        """The leaderboard of the chosen sweep."""
        return self.snapshot.leaderboard(self.address.sweep)

    @property
    def rows(self) -> pd.DataFrame:
        """The rows of the leaderboard that are shown; to hide a family changes no rank."""
        table = self.leaderboard
        return table[self.shown_of(table)] if len(table) else table

    @property
    def runs(self) -> pd.DataFrame:
        """The runs that are shown."""
        return self.frame.runs[self.shown_of(self.frame.runs)]

    @property
    def groups(self) -> list[pd.DataFrame]:
        """The shown rows, one frame for each data set prepared in one way."""
        return [rows for _, rows in self.rows.groupby(PROTOCOL, sort=True)]

    def run(self, name: str) -> dict[Hashable, Any] | None:
        """Return all that the record has of a run, None for one that it has not got."""
        place = self.snapshot.once("places", self._places).get(name)
        return None if place is None else self.snapshot.frame.joined.iloc[place].to_dict()

    def _places(self) -> dict[str, int]:
        # The newest wins where a run was recorded twice.
        return {str(name): i for i, name in enumerate(self.snapshot.frame.joined["run"])}

    @staticmethod
    def of_group(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
        """Return what a table has on the data set of some rows of the leaderboard."""
        return table[(table[PROTOCOL] == rows[PROTOCOL].iloc[0]).all(axis=1)]

    @property
    def sweeps(self) -> list[str]:
        """Every sweep of the record, the newest first."""
        runs = self.snapshot.frame.runs
        newest = runs[runs["sweep"] != ""].groupby("sweep")["started"].max()
        return [str(name) for name in newest.sort_values(ascending=False).index]

    @property
    def data_sets(self) -> list[str]:
        """Every data set of the chosen sweep."""
        return sorted(set(self.frame.runs["data"]) - {""})

    @property
    def families(self) -> list[str]:
        """Every family of the chosen sweep, in the order of the figures."""
        return sorted(set(self.frame.runs["family"]) - {""}, key=order)

    def shown_of(self, table: pd.DataFrame) -> pd.Series:
        """Mark the rows of the chosen data set and families."""
        data, families = self.address.data, self.address.families
        shown = pd.Series(True, index=table.index)
        if data:
            shown &= table["data"] == data
        if families:
            shown &= table["family"].isin(families)
        return shown
