"""How data mislead a density model, each in a sentence."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from flowbench.data.source import Array, Index

FEW_VALUES = 0.05
CORRELATED = 0.98
ROWS_PER_DIMENSION = 20
MANY_COPIES = 0.5
NAMED = 5
"""Columns or pairs named in one sentence; the others are counted."""


def duplicates(groups: Index, noun: str) -> Iterator[str]:
    """Yield how many rows are copies of an earlier one, given their group numbers."""
    copies = len(groups) - len(np.unique(groups))
    if copies:
        many = copies > MANY_COPIES * len(groups)
        effect = ", so the splits differ in distribution" if many else ""
        yield f"{copies:,} duplicate {noun}s; duplicates are kept in one split{effect}"


def leaks(keys: Mapping[str, Array], noun: str) -> Iterator[str]:
    """Yield how many held-out rows of given parts are training rows too."""
    for part in ("validation", "test"):
        known = int(np.isin(keys[part], keys["train"]).sum())
        if known:
            yield f"{known:,} {noun}s of {part} are in the training part too"


def table_warnings(x: Array, columns: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each way in which these values are known to mislead.

    Args:
        x: the modelled columns, ``(N, D)``.
        columns: their names.
    """
    yield from _few_values(x, columns)
    yield from _nearly_the_same(x, columns)
    yield from _not_measurements(x, columns)
    if len(x) < ROWS_PER_DIMENSION * x.shape[1]:
        yield f"{len(x):,} rows for {x.shape[1]} dimensions: fewer than 20 rows a dimension"


def _few_values(x: Array, columns: Sequence[str]) -> Iterator[str]:
    distinct = np.array([len(np.unique(column)) for column in x.T])
    few = np.flatnonzero(distinct < FEW_VALUES * len(x)).tolist()
    if not few:
        return
    integral = [columns[i] for i in few if (x[:, i] == np.round(x[:, i])).all()]
    remedy = f"; of integers, data.dequantise=[{', '.join(integral)}] makes a fair model"
    yield (
        f"few distinct values among {len(x):,} rows: "
        f"{_listed([f'{columns[i]!r} has {distinct[i]:,}' for i in few])}; "
        f"a density can grow without bound there{remedy if integral else ''}"
    )


def _nearly_the_same(x: Array, columns: Sequence[str]) -> Iterator[str]:
    if x.shape[1] == 1:
        return
    correlation = np.abs(np.corrcoef(x.T))
    pairs = np.argwhere(np.triu(correlation > CORRELATED, 1))
    pairs = pairs[np.argsort(-correlation[tuple(pairs.T)])]
    if len(pairs):
        listed = [f"{columns[i]!r} and {columns[j]!r} ({correlation[i, j]:.3f})" for i, j in pairs]
        yield f"columns are nearly the same (|correlation|): {_listed(listed)}"


def _not_measurements(x: Array, columns: Sequence[str]) -> Iterator[str]:
    """Yield what spreadsheets and pandas leave in a file beside the data."""
    for name, column in zip(columns, x.T, strict=True):
        if len(column) > 2 and (np.diff(column) == 1).all():
            yield f"column {name!r} counts the rows; leave it out with data.drop_columns=[{name}]"
    if x.shape[1] > 2 and (x[0] == np.arange(x.shape[1])).all():
        yield "the first row is 0, 1, 2, ...: a header written as numbers is read as data"


def _listed(items: list[str]) -> str:
    more = f", and {len(items) - NAMED:,} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + more
