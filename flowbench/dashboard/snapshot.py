"""The record as it was at one moment, and what was computed from it, each thing once."""

from collections.abc import Callable, Hashable
from threading import RLock
from typing import Any, TypeVar, cast

import pandas as pd

from flowbench.compare.best_after import best_after_table
from flowbench.compare.differences import differences_table
from flowbench.compare.fairness import Flag, flags
from flowbench.compare.leaderboard import leaderboard_table
from flowbench.compare.runs import Frame
from flowbench.compare.tuned import tuned_table
from flowbench.report.findings import Finding, findings

Made = TypeVar("Made")


class Snapshot:
    """All runs of the record at one moment."""

    def __init__(self, frame: Frame, version: str) -> None:
        self.frame = frame
        self.version = version
        """Differs from that of any other moment at which the record held something else."""
        self._made: dict[Hashable, Any] = {}
        self._locks: dict[Hashable, RLock] = {}
        self._lock = RLock()

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Return what `make` returns, which is called the first time; others wait for it."""
        with self._lock:
            lock = self._locks.setdefault(key, RLock())
        with lock:
            if key not in self._made:
                self._made[key] = make()
            return cast(Made, self._made[key])

    def of_sweep(self, sweep: str) -> Frame:
        """Return the runs of a sweep; of all sweeps where none is named."""
        if not sweep:
            return self.frame
        runs = self.frame.runs
        return self.once(
            ("frame", sweep),
            lambda: Frame(
                self.frame.tracking_uri, runs[runs["sweep"] == sweep].reset_index(drop=True)
            ),
        )

    def leaderboard(self, sweep: str) -> pd.DataFrame:
        """Return the leaderboard of a sweep, or of all runs."""
        return self.once(("table", sweep), lambda: leaderboard_table(self.of_sweep(sweep)))

    def differences(self, sweep: str) -> pd.DataFrame:
        """Return every two families of that leaderboard compared."""
        return self.once(
            ("pairs", sweep),
            lambda: differences_table(self.of_sweep(sweep), self.leaderboard(sweep)),
        )

    def best_after(self, sweep: str) -> pd.DataFrame:
        """Return what to expect of each family after so many trials."""
        return self.once(("best after", sweep), lambda: best_after_table(self.of_sweep(sweep)))

    def tuned(self, sweep: str) -> pd.DataFrame:
        """Return what tuning gained over the defaults."""
        return self.once(("tuned", sweep), lambda: tuned_table(self.of_sweep(sweep)))

    def findings(self, sweep: str) -> list[Finding]:
        """Return what is wrong with the models of that leaderboard."""
        return self.once(
            ("findings", sweep), lambda: findings(self.of_sweep(sweep), self.leaderboard(sweep))
        )

    def flags(self, sweep: str) -> list[Flag]:
        """Return what to read with that leaderboard."""
        return self.once(
            ("flags", sweep), lambda: flags(self.of_sweep(sweep), self.leaderboard(sweep))
        )
