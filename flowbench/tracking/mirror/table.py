"""The mirrored runs: one Parquet file, replaced whole, so that a reader sees the old or the new."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flowbench.tracking import schema
from flowbench.tracking.rows import NUMBERS, TEXTS, WORDS, Row, row_of, table_of

if TYPE_CHECKING:
    from mlflow.entities import Run

STATE, STAGED, SWEEP_HASH, FILES = "mirror.state", "mirror.staged", "mirror.sweep", "mirror.files"
COLUMNS = {
    STATE: pa.string(),  # open, ended, deleted
    STAGED: pa.bool_(),  # whether FlowBench wrote it: a run of others has no stage
    SWEEP_HASH: pa.string(),
    FILES: pa.string(),  # the address of its artifacts
}
"""What the mirror keeps of a run beside the columns of `read_runs`."""

OPEN, ENDED, DELETED = "open", "ended", "deleted"
UNENDED = ("RUNNING", "SCHEDULED")
METADATA = b"flowbench"


def columns_hash() -> str:
    """Return digits that change with what is kept of a run and under which name."""
    kept = [*WORDS.items(), *NUMBERS.items(), *COLUMNS, *TEXTS]
    return hashlib.sha256(repr(kept).encode()).hexdigest()[:6]


def mirrored(run: "Run") -> Row:
    """Return a run as a row of the mirror; of a deleted one only that and when it started."""
    if run.info.lifecycle_stage != "active":
        return {
            "mlflow_id": run.info.run_id, "started": run.info.start_time, STATE: DELETED,
            STAGED: False,
        }  # fmt: skip
    tags = run.data.tags
    return row_of(run) | {
        STATE: OPEN if run.info.status in UNENDED else ENDED,
        STAGED: schema.STAGE in tags,
        SWEEP_HASH: tags.get(schema.SWEEP_HASH, ""),
        FILES: run.info.artifact_uri,
    }


@dataclass(frozen=True)
class MirrorTable:
    """All runs of an experiment as far as they are known, deleted ones too, in no order."""

    experiment: str
    """Its number and when it was made: another one's runs are not these."""
    runs: pa.Table

    @classmethod
    def empty(cls, experiment: str) -> "MirrorTable":
        return cls(experiment, table_of([], COLUMNS))

    @classmethod
    def load(cls, path: Path) -> "MirrorTable | None":
        """Read the file; None where there is none, or none that can be read."""
        try:
            runs = pq.read_table(path)
            metadata = json.loads(runs.schema.metadata[METADATA])
            return cls(metadata["experiment"], runs.replace_schema_metadata(None))
        except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
            return None

    def save(self, path: Path) -> None:
        """Write the file."""
        metadata = {METADATA: json.dumps({"experiment": self.experiment})}
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            pq.write_table(self.runs.replace_schema_metadata(metadata), temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def replaced(self, gone: Iterable[str], rows: Sequence[Row]) -> "MirrorTable":
        """Return the table without some runs, and with others as they are now."""
        gone = {*gone, *(row["mlflow_id"] for row in rows)}
        if not gone:
            return self
        stay = pc.invert(pc.is_in(self.runs["mlflow_id"], pa.array(gone, pa.string())))
        parts = [self.runs.filter(stay), table_of(rows, COLUMNS)]
        runs = pa.concat_tables(parts, promote_options="default")
        return MirrorTable(self.experiment, runs.combine_chunks())

    def changed(self, rows: Sequence[Row]) -> list[Row]:
        """Return those rows that are not in the table as they are."""
        known = {row["mlflow_id"]: row for row in self.rows(row["mlflow_id"] for row in rows)}
        return [row for row in rows if _written(known.get(row["mlflow_id"])) != _written(row)]

    def rows(self, ids: Iterable[str]) -> list[Row]:
        """Return runs as rows, whose times are in ms."""
        some = self.runs.filter(pc.is_in(self.runs["mlflow_id"], pa.array(ids, pa.string())))
        times = {name: some[name].cast(pa.int64()) for name in ("started", "ended")}
        for name, values in times.items():
            some = some.set_column(some.column_names.index(name), name, values)
        rows: list[Row] = some.to_pylist()
        return rows

    def ids(self, state: str) -> list[str]:
        """Return the runs in a state."""
        found: list[str] = self.runs.filter(pc.equal(self.runs[STATE], state))[
            "mlflow_id"
        ].to_pylist()
        return found

    def last_end(self) -> int | None:
        """Return when the last run ended, in ms."""
        return pc.max(self.runs["ended"].cast(pa.int64())).as_py()  # type: ignore[no-any-return]

    @cached_property
    def started(self) -> NDArray[np.int64]:
        """When each run started, in ms."""
        return np.asarray(self.runs["started"].cast(pa.int64()))

    @cached_property
    def kept(self) -> dict[str, tuple[str, str]]:
        """The state of each run, and the address of its artifacts, empty where it is unknown."""
        columns = (self.runs[name].to_pylist() for name in ("mlflow_id", STATE, FILES))
        return {run: (state, files or "") for run, state, files in zip(*columns, strict=True)}

    @cached_property
    def deleted(self) -> NDArray[np.bool_]:
        return np.asarray(pc.equal(self.runs[STATE], DELETED))

    def __len__(self) -> int:
        return len(self.runs)


def _written(row: Row | None) -> str:
    """Return a row as text, in which NaN equals itself and what a run lacks does not count."""
    return "" if row is None else repr(sorted((k, v) for k, v in row.items() if v is not None))
