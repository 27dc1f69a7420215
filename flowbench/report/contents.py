"""All that a report says, computed from the record: what pages are written, and verified, from."""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from flowbench.compare.fairness import Flag, flags
from flowbench.compare.leaderboard import leaderboard_table
from flowbench.compare.runs import PROTOCOL, Frame, load
from flowbench.report import pictures, tables
from flowbench.report.comparisons import Comparisons
from flowbench.report.findings import Finding, findings
from flowbench.report.ledger import failures, failures_note, protocol, provenance
from flowbench.report.sections import Section, section
from flowbench.report.words import across

LEDGER = 500
"""Failures that the page lists; the CSV file has all."""


@dataclass(frozen=True)
class Contents:
    """A report before it is written."""

    frame: Frame
    sweep: str | None
    leaderboard: pd.DataFrame
    sections: tuple[Section, ...]
    overview: tuple[pictures.Picture, ...]
    """The figures over all data sets."""
    ranks: str
    """What the average ranks say, in words; empty where there are too few data sets."""
    flags: tuple[Flag, ...]
    findings: tuple[Finding, ...]

    @property
    def title(self) -> str:
        return self.sweep or "All runs"

    @property
    def facts(self) -> list[str]:
        """What was compared, and when, in a few words each."""
        runs = self.frame.runs
        devices = sorted(set(runs["device"]) - {""})
        return [
            _counted(len(runs), "run"),
            _counted(runs["family"].nunique(), "family"),
            _counted(runs["data"].nunique(), "data set"),
            *([", ".join(devices)] if devices else []),
            f"{runs['started'].max():%d %B %Y}",
        ]

    @property
    def statements(self) -> list[str]:
        """The summary: of each data set, and over all of them."""
        each = [statement for part in self.sections for statement in part.statements]
        return [*each, self.ranks] if self.ranks else each

    @cached_property
    def failures(self) -> pd.DataFrame:
        return failures(self.frame)

    @property
    def failures_note(self) -> str:
        return failures_note(self.frame)

    @cached_property
    def provenance(self) -> pd.DataFrame:
        return provenance(self.frame, self.leaderboard)

    @property
    def protocol(self) -> list[tuple[str, str]]:
        return protocol(self.leaderboard)

    def pictures(self) -> dict[str, pictures.Picture]:
        """Return every figure by its name on the page."""
        return {f"overview-{picture.name}": picture for picture in self.overview} | {
            f"{part.id}-{picture.name}": picture
            for part in self.sections
            for picture in part.pictures
        }

    def shown(self) -> dict[str, tables.Table]:
        """Return every table of the page by its name there."""
        found = {
            "summary": tables.sentences(self.statements),
            "findings": tables.plain(_frame(Finding, self.findings)[["data", "sentence"]]),
            "flags": tables.plain(_frame(Flag, self.flags)[["data", "sentence"]]),
            "failures": tables.excerpt(self.failures, LEDGER),
            "provenance": tables.plain(self.provenance),
        }
        for part in self.sections:
            found[f"{part.id}-leaderboard"] = part.leaderboard
            found |= {f"{part.id}-{titled.name}": titled.table for titled in part.tables}
        stand_ins = {name: picture.table for name, picture in self.pictures().items()}
        return found | {name: table for name, table in stand_ins.items() if table is not None}

    def numbers(self) -> dict[str, pd.DataFrame]:
        """Return every table in full precision, by the name of its CSV file."""
        found = {
            "leaderboard": self.leaderboard,
            "tables/summary": pd.DataFrame({"sentence": self.statements}, dtype=str),
            "tables/findings": _frame(Finding, self.findings),
            "tables/flags": _frame(Flag, self.flags),
            "tables/failures": self.failures,
            "tables/provenance": self.provenance,
        }
        for part in self.sections:
            found |= {f"tables/{part.id}-{titled.name}": titled.data for titled in part.tables}
        drawn = {f"figures/{name}": picture.data for name, picture in self.pictures().items()}
        return found | drawn


def contents(tracking_uri: str, sweep: str | None = None) -> Contents:
    """Compute the report of a sweep, or of all runs of the record.

    Args:
        tracking_uri: the record's address; nothing else is read.
        sweep: a sweep's name; None for all runs.

    Raises:
        InputError: if the record has no such runs.
    """
    frame = load(tracking_uri, sweep)
    table = leaderboard_table(frame)
    groups = table.groupby(PROTOCOL, sort=True)
    compared = Comparisons.made(frame, table)
    return Contents(
        frame=frame, sweep=sweep, leaderboard=table,
        sections=tuple(
            section(frame, rows, i, compared) for i, (_, rows) in enumerate(groups, 1)
        ),
        overview=tuple(pictures.across(frame, table, compared.ranks)),
        ranks=across(compared.ranks),
        flags=_joined(flags(frame, table), table["data"].nunique()),
        findings=tuple(findings(frame, table)),
    )  # fmt: skip


def _joined(found: list[Flag], data_sets: int) -> tuple[Flag, ...]:
    """Say once what is to be said of several data sets."""
    about: dict[tuple[str, str], list[str]] = {}
    for flag in found:
        about.setdefault((flag.kind, flag.sentence), []).append(flag.data)
    return tuple(
        Flag("all data" if 1 < data_sets == len(data) else ", ".join(data), kind, sentence)
        for (kind, sentence), data in about.items()
    )


def _frame(kind: type, records: tuple[Flag, ...] | tuple[Finding, ...]) -> pd.DataFrame:
    """Return records as a frame that has their columns even where there are none."""
    return pd.DataFrame([vars(record) for record in records], columns=list(kind.__annotations__))


def _counted(count: int, noun: str) -> str:
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + "s"
    return f"{count:,} {noun if count == 1 else plural}"
