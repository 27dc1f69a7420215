"""What an address shows of a snapshot: its runs, its leaderboard, its data sets."""

from dataclasses import dataclass

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
        return table[self._shown(table)] if len(table) else table

    @property
    def runs(self) -> pd.DataFrame:
        """The runs that are shown."""
        return self.frame.runs[self._shown(self.frame.runs)]

    @property
    def groups(self) -> list[pd.DataFrame]:
        """The shown rows, one frame for each data set prepared in one way."""
        return [rows for _, rows in self.rows.groupby(PROTOCOL, sort=True)]

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

    def _shown(self, table: pd.DataFrame) -> pd.Series:
        data, families = self.address.data, self.address.families
        shown = pd.Series(True, index=table.index)
        if data:
            shown &= table["data"] == data
        if families:
            shown &= table["family"].isin(families)
        return shown
