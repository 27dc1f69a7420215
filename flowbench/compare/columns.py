"""The leaderboard's columns: what each holds, how it is written, and which end of it is good."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

Kind = Literal["estimate", "interval", "p", "small", "count", "rate", "share", "text"]

UNKNOWN = "–"  # noqa: RUF001 - the dash of an empty cell

SHORT = {"different": "yes", "not told apart": "unsure", "not tested": "untested"}
"""Verdicts of a test as a column has room for them."""


@dataclass(frozen=True)
class Column:
    """One column of the leaderboard: an entry here is all it takes to add one."""

    key: str
    title: str
    meaning: str
    kind: Kind
    good: Literal["low", "high"] | None = None
    """Which end is good; None where the column is not ranked."""
    error: str | None = None
    """The column of its standard error; of an interval, that of its other end."""
    compact: bool = False
    """Whether it is shown where there is little room."""


COLUMNS: tuple[Column, ...] = (
    Column("rank", "#", "rank within its data set, split and preprocessing", "count", compact=True),
    Column("family", "family", "the flow", "text", compact=True),
    Column(
        "bits_per_dim", "bits/dim", "-log2 p / D in the data's units, mean ± standard error",
        "estimate", "low", "bits_per_dim_se", compact=True,
    ),
    Column(
        "behind_best", "behind best", "bits/dim above the best family, on the same test points",
        "estimate", None, "behind_best_se", compact=True,
    ),
    Column(
        "gain", "gain", "bits/dim below the full-covariance Gaussian", "estimate", "high",
        "gain_se", compact=True,
    ),
    Column(
        "interval_low", "95 % interval", "of the measure of the rank, over seeds and points",
        "interval", None, "interval_high", compact=True,
    ),
    Column(
        "verdict", "differs", "from the best, by a t-test on the same points, from five seeds on",
        "text", compact=True,
    ),
    Column("p_holm", "p", "of that test, by Holm's method for all pairs", "p", compact=True),
    Column(
        "excess", "excess", "nats above the true entropy", "estimate", "low", "excess_se",
        compact=True,
    ),
    Column("latency_ms", "ms, batch 1", "time of one sample", "small", "low", compact=True),
    Column(
        "speed_b1024", "samples/s, 1024", "sampling speed at batch 1024", "rate", "high",
        compact=True,
    ),
    Column(
        "inversion", "inversion error",
        "largest coordinate error of decode(encode(x)), in flow coordinates", "small", "low",
        compact=True,
    ),
    Column("exact_share", "exact", "share of integer samples recovered exactly", "share", "high"),
    Column("log_det", "log-det", "exact, estimate or bound", "text", compact=True),
    Column("inverse", "inverse", "analytic or iterative", "text"),
    Column("parameters", "parameters", "trained numbers in the model", "count", compact=True),
    Column("seeds", "seeds", "runs averaged", "count", compact=True),
    Column("split", "split", "where the numbers come from", "text"),
    Column("trials", "trials", "configurations tried before", "count"),
    Column("budget", "budget", "a trial", "text"),
    Column("nats", "log p", "nats a point, in the data's units", "estimate", None, "nats_se"),
    Column("speed_b1", "samples/s, 1", "sampling speed at batch 1", "rate", "high"),
    Column("speed_b64", "samples/s, 64", "sampling speed at batch 64", "rate", "high"),
    Column("speed_error", "at error", "worst error of the samples that were timed", "text"),
    Column("data_label", "likelihood of", "a density, or of dequantised integers", "text"),
)  # fmt: skip


def present(table: pd.DataFrame, *, compact: bool = False) -> list[Column]:
    """Return the columns that say something in this table.

    Args:
        table: rows of the leaderboard.
        compact: leave out what a narrow table can do without.
    """
    # On discrete data bits/dim says it all; the gain is its mirror image.
    mirrored = compact and bool((table["ranked_by"] != "gain").all())
    return [
        column
        for column in COLUMNS
        if column.key in table
        and table[column.key].replace("", None).notna().any()
        and (column.compact or not compact)
        and not (mirrored and column.key == "gain")
    ]


def written(row: Mapping[Hashable, Any], column: Column) -> str:
    """Write one cell of the leaderboard for a person."""
    value = row[column.key]
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    match column.kind:
        case "estimate":
            return with_error(float(value), float(row[column.error]) if column.error else math.nan)
        case "interval":
            return interval(float(value), float(row[column.error or ""]))
        case "p":
            return "< 0.001" if value < 0.001 else significant(float(value), 2)
        case "small":
            return significant(float(value), 2)
        case "count":
            return f"{int(value):,}"
        case "rate":
            return f"{float(f'{float(value):.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"
        case "share":
            # Rounded down: 100 % is said of nothing less.
            return f"{math.floor(1000 * float(value)) / 10:.1f} %"
        case _:
            return SHORT.get(str(value), str(value)) if column.key == "verdict" else str(value)


def with_error(mean: float, se: float) -> str:
    """Write a mean with as many digits as its standard error supports."""
    if not math.isfinite(mean):
        return "not finite"
    if not math.isfinite(se):
        return f"{mean:.3f}"
    digits = 4 if se == 0 else min(max(1 - math.floor(math.log10(se)), 0), 4)
    return f"{mean:.{digits}f} ± {se:.{digits}f}"


def interval(low: float, high: float) -> str:
    """Write an interval with as many digits as its length supports."""
    if not math.isfinite(low + high):
        return UNKNOWN
    length = high - low
    digits = 4 if length == 0 else min(max(2 - math.floor(math.log10(length)), 0), 4)
    return f"{low:.{digits}f} to {high:.{digits}f}"


def significant(value: float, digits: int) -> str:
    """Write a number with so many significant digits, by powers of ten where it is far from 1."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "not finite"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.{max(digits - 1 - math.floor(math.log10(abs(value))), 0)}f}"
    return f"{value:.{digits - 1}e}"
