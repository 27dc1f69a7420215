"""The tables of all measures, filled from the record."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from flowbench.compare.joining import TIMED
from flowbench.compare.runs import Frame
from flowbench.report.measured import FULL, measurements
from flowbench.report.measures import TABLES, Measure, MeasureTable
from flowbench.report.tables import Cell, Table, Titled

KEYS = ["family", "subject", "seeds", "protocol", "device"]


@dataclass(frozen=True)
class Measured:
    """A table of measures with what the record has for it."""

    kind: MeasureTable
    data: pd.DataFrame
    """Columns `family`, `subject` (a key of the kind's), `seeds`, `protocol`, `device`, and the
    measures that there are by their metric (`{}` for the subject), NaN where a row has none."""

    @property
    def note(self) -> str:
        """What a reader must know, and by which protocol it was measured."""
        protocols = sorted(set(self.data["protocol"]))
        if protocols == [FULL]:
            return f"{self.kind.note} Full protocol."
        if len(protocols) > 1:
            quick = self.data[self.data["protocol"] != FULL]["family"].unique()
            return f"{self.kind.note} Full protocol, but quick for {', '.join(quick)}."
        return f"{self.kind.note} Quick protocol."

    @property
    def table(self) -> Table:
        """The table as it is shown, the best of each ranked column marked."""
        measures = [m for m in self.kind.measures if m.metric in self.data]
        subjects = self.data["subject"].map(dict(self.kind.subjects))
        about = bool(self.kind.about)
        best = {m.metric: self._best(m) for m in measures}
        rows = []
        for i, row in enumerate(self.data.to_dict("records")):
            front = [Cell(row["family"]), *([Cell(subjects.iloc[i])] if about else [])]
            cells = [Cell(m.written(row[m.metric]), True, best[m.metric][i]) for m in measures]
            rows.append((*front, *cells))
        titles = ["family", *([self.kind.about] if about else []), *(m.title for m in measures)]
        meanings = [""] * (1 + about) + [m.meaning for m in measures]
        numbers = [False] * (1 + about) + [True] * len(measures)
        return Table(tuple(titles), tuple(meanings), tuple(rows), tuple(numbers))

    @property
    def titled(self) -> Titled:
        """The table as a report sets it."""
        return Titled(self.kind.name, self.kind.title, self.note, self.table, self.data)

    def _best(self, measure: Measure) -> list[bool]:
        """Mark the best family of a subject, where all were measured alike.

        That is by one protocol, on one device what takes time or memory, and on as many points:
        maxima grow with their number.
        """
        alike = ["protocol", *(["device"] if measure.metric.startswith(TIMED) else [])]
        alike += [str(m) for m in self.data if str(m).endswith("/points")]
        if measure.good is None or any(self.data[column].nunique() > 1 for column in alike):
            return [False] * len(self.data)
        values = self.data[measure.metric]
        by_subject = values.groupby(self.data["subject"])
        best = by_subject.transform("min" if measure.good == "low" else "max")
        compared = by_subject.transform("nunique") > 1
        return list((values == best) & compared)


def measured_tables(frame: Frame, rows: pd.DataFrame) -> list[Measured]:
    """Return the tables that the record has anything for, of one data set.

    Args:
        frame: all runs.
        rows: the data set's rows of the leaderboard.
    """
    found = []
    quoted = [run for ids in rows["run_ids"] for run in ids]
    runs = frame.runs[frame.runs["run"].isin(quoted) | frame.runs["measures"].isin(quoted)]
    for kind in TABLES:
        data = pd.DataFrame(list(_rows(runs, rows, kind)))
        if len(data):
            data = data[KEYS + [m.metric for m in kind.measures]].dropna(axis=1, how="all")
            found.append(Measured(kind, data.reset_index(drop=True)))
    return found


def _rows(
    runs: pd.DataFrame, rows: pd.DataFrame, kind: MeasureTable
) -> Iterator[dict[str, str | int | float]]:
    """Yield a row for each family and subject of which anything was measured."""
    metrics = [m.metric.format(subject) for m in kind.measures for subject in kind.subjects]
    for row in rows.to_dict("records"):
        behind, protocol = measurements(runs, row["run_ids"], metrics)
        found = {
            subject: {m.metric: _value(behind, m, subject) for m in kind.measures}
            for subject in kind.subjects
        }
        known = {
            subject: values
            for subject, values in found.items()
            if not all(math.isnan(values[m.metric]) for m in kind.own)
        }
        if len(known) > 1:
            # The frame quotes an iterative sampler's matched speed under the bare name too.
            known.pop("", None)
        devices = ", ".join(sorted(set(behind["device"])))
        about = {
            "family": row["family"], "seeds": len(behind), "protocol": protocol, "device": devices,
        }  # fmt: skip
        yield from ({**about, "subject": subject, **values} for subject, values in known.items())


def _value(behind: pd.DataFrame, measure: Measure, subject: str) -> float:
    """Return a measure over the seeds; NaN where none has it."""
    name = measure.metric.format(subject)
    return float(behind[name].agg(measure.seeds)) if name in behind else math.nan
