"""A run of the record as a row: what its tags, parameters and metrics are called in a frame."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from flowbench.tracking import schema

if TYPE_CHECKING:
    from mlflow.entities import Run

NUMBERS = {
    schema.DATA_SEED: "data_seed",
    schema.MODEL_SEED: "model_seed",
    schema.TRIAL: "trial",
    schema.ATTEMPTS: "attempts",
    schema.N_PARAMETERS: "n_parameters",
    schema.BUDGET_PER_TRIAL: "budget_per_trial",
    schema.BUDGET_TRIALS: "budget_trials",
    schema.BUDGET_TOTAL: "budget_total",
}
WORDS = {
    schema.RUN: "run",
    schema.SWEEP: "sweep",
    schema.STAGE: "stage",
    schema.FAMILY: "family",
    schema.DATA: "data",
    schema.OUTCOME: "outcome",
    schema.REASON: "reason",
    schema.MEASURES: "measures",
    schema.REUSES: "reuses",
    schema.DEFAULT: "default",
    schema.LOST: "lost",
    schema.SPEC_HASH: "spec_hash",
    schema.DATA_HASH: "data_hash",
    schema.GIT_COMMIT: "git_commit",
    schema.COMMAND: "command",
    schema.DEVICE: "device",
    schema.BUDGET_UNIT: "budget_unit",
}
TEXTS = ("label.", "version.", "param.")
"""How the names of columns begin that hold texts and differ from run to run."""

Row = dict[str, Any]
KNOWN = pa.schema(
    [
        ("mlflow_id", pa.string()),
        ("started", pa.timestamp("ms", "UTC")),
        ("ended", pa.timestamp("ms", "UTC")),
        *((name, pa.string()) for name in WORDS.values()),
        *((name, pa.float64()) for name in NUMBERS.values()),
    ]
)
"""Columns that every frame has, in this order; after them come texts, and then metrics."""


def row_of(run: "Run") -> Row:
    """Return a run by the columns of `read_runs`; what it lacks is left out, times are in ms."""
    tags = run.data.tags
    # First, so that a metric of a foreign run cannot take the place of a column.
    row: Row = {
        name: number_of(value)
        for name, value in run.data.metrics.items()
        if not name.startswith(TEXTS)
    }
    row |= {"mlflow_id": run.info.run_id, "started": run.info.start_time}
    row["ended"] = run.info.end_time or None
    row |= {column: tags.get(tag, "") for tag, column in WORDS.items()}
    row |= {column: float(tags.get(tag) or math.nan) for tag, column in NUMBERS.items()}
    for prefix in (schema.LABEL_PREFIX, schema.VERSION_PREFIX):
        short = prefix.removeprefix(schema.PREFIX)
        row |= {
            f"{short}{tag.removeprefix(prefix)}": value
            for tag, value in tags.items()
            if tag.startswith(prefix)
        }
    return row | {f"param.{key}": value for key, value in run.data.params.items()}


def number_of(value: float) -> float:
    """Give back the infinity that the store clipped."""
    return math.copysign(math.inf, value) if abs(value) >= schema.INFINITY else value


def table_of(rows: Sequence[Row], more: Mapping[str, pa.DataType]) -> pa.Table:
    """Return rows as a table, in which null is what a run lacks and NaN a value of its own.

    Args:
        rows: by column.
        more: types of further columns that a table always has.
    """
    types = {field.name: field.type for field in KNOWN} | dict(more)
    for row in rows:
        for name in row:
            if name not in types:
                types[name] = pa.string() if name.startswith(TEXTS) else pa.float64()
    columns = {
        name: pa.array([row.get(name) for row in rows], kind) for name, kind in types.items()
    }
    return pa.table(columns)


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Return the frame of `read_runs`: the columns that any row has, the oldest run first."""
    there = {name for name in table.column_names if table[name].null_count < len(table)}
    more = sorted(there.difference(KNOWN.names), key=_order)
    frame: pd.DataFrame = table.select([*KNOWN.names, *more]).to_pandas()
    # Two runs of one name in the same millisecond come in the same order each time.
    return frame.sort_values(["started", "run", "mlflow_id"], ignore_index=True)


def _order(name: str) -> tuple[int, str]:
    kinds: Iterable[int] = (i for i, text in enumerate(TEXTS) if name.startswith(text))
    return next(iter(kinds), len(TEXTS)), name
