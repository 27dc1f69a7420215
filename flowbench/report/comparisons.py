"""What is compared beside the leaderboard: pairs of families, budgets, and tuning's worth."""

from dataclasses import dataclass

import pandas as pd

from flowbench.compare.best_after import best_after_table, winners_table
from flowbench.compare.columns import UNKNOWN, significant, with_error
from flowbench.compare.differences import differences_table
from flowbench.compare.ranks import Ranks, average_ranks
from flowbench.compare.runs import PROTOCOL, Frame
from flowbench.compare.tuned import tuned_table as measured_tuning
from flowbench.report.tables import Cell, Table, Titled


@dataclass(frozen=True)
class Comparisons:
    """The tables of `flowbench.compare` that a report is made of, of all data sets or of one."""

    pairs: pd.DataFrame
    best_after: pd.DataFrame
    winners: pd.DataFrame
    tuned: pd.DataFrame
    ranks: Ranks

    @classmethod
    def made(cls, frame: Frame, table: pd.DataFrame) -> "Comparisons":
        """Compute them from all runs and the leaderboard."""
        best_after = best_after_table(frame)
        return cls(
            pairs=differences_table(frame, table),
            best_after=best_after,
            winners=winners_table(_affordable(best_after)),
            tuned=measured_tuning(frame),
            ranks=average_ranks(table),
        )

    def of(self, rows: pd.DataFrame) -> "Comparisons":
        """Return the rows of one data set, given its rows of the leaderboard."""
        return Comparisons(
            _of(self.pairs, rows), _of(self.best_after, rows), _of(self.winners, rows),
            _of(self.tuned, rows), self.ranks,
        )  # fmt: skip


def _affordable(best_after: pd.DataFrame) -> pd.DataFrame:
    """Keep the numbers of trials that every family of a search had: who wins later is not known."""
    cell = [*PROTOCOL, "sweep"]
    most = best_after.groupby([*cell, "family"])["trials"].max().groupby(cell).min()
    limit = best_after[cell].merge(most.rename("most").reset_index(), on=cell, how="left")["most"]
    return best_after[best_after["trials"].to_numpy() <= limit.to_numpy()]


def _of(part: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    same = (part[PROTOCOL] == rows[PROTOCOL].iloc[0]).all(axis=1)
    return part[same].reset_index(drop=True)


def pairs_table(pairs: pd.DataFrame) -> list[Titled]:
    """Set every pair of families of one data set; nothing where there is none."""
    if pairs.empty:
        return []
    header = ("family", "behind it", "bits/dim", "95 % interval", "p", "p, Holm", "verdict")
    meanings = (
        "the better one", "the other", "by which it is behind, paired point by point, ± s.e.", "",
        "of a t-test", "corrected for all pairs of the data set", "at 0.05",
    )  # fmt: skip
    rows = [
        (
            Cell(row["family"]), Cell(row["other"]),
            Cell(with_error(row["difference"], row["se"]), True),
            Cell(_interval(row["low"], row["high"]), True),
            *(Cell(_known(row[key]), True) for key in ("p", "p_holm")), Cell(row["verdict"]),
        )
        for row in pairs.to_dict("records")
    ]  # fmt: skip
    numbers = (False, False, True, True, True, True, False)
    note = (
        "Paired on the same test points; the error holds the variance of seeds and of points."
        " Tested from five seeds on."
    )
    table = Table(header, meanings, tuple(rows), numbers)
    return [Titled("pairs", "Pair by pair", note, table, pairs)]


def tuned_table(tuned: pd.DataFrame) -> list[Titled]:
    """Set what tuning gained over each family's default; nothing where no default was tried."""
    if tuned.empty:
        return []
    header = ("family", "trials", "default", "tuned", "gained")
    meanings = (
        "", "completed ones", "validation bits/dim", "validation bits/dim of the best trial",
        "bits/dim, paired point by point, ± s.e. over points",
    )  # fmt: skip
    rows = [
        (
            Cell(row["family"]), Cell(f"{row['trials']:,}", True),
            Cell(f"{row['default']:.4f}", True), Cell(f"{row['tuned']:.4f}", True),
            Cell(with_error(row["gained"], row["gained_se"]), True),
        )
        for row in tuned.to_dict("records")
    ]  # fmt: skip
    note = (
        "On the validation data that the best was chosen by, one seed each: the gain flatters, the"
        " more so the more trials there were."
    )
    table = Table(header, meanings, tuple(rows), (False, True, True, True, True))
    return [Titled("tuned", "Tuned against default", note, table, tuned)]


def _interval(low: float, high: float) -> str:
    return UNKNOWN if pd.isna(low) or pd.isna(high) else f"{low:.4f} to {high:.4f}"


def _known(p: float) -> str:
    return UNKNOWN if pd.isna(p) else significant(p, 2)
