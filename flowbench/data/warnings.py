"""How tables mislead a density model, each in a sentence."""

from collections.abc import Iterator

import numpy as np

from flowbench.data.source import Array
from flowbench.data.splits import group_of_rows

FEW_VALUES = 0.05
CORRELATED = 0.98
ROWS_PER_DIMENSION = 20


def table_warnings(x: Array, columns: tuple[str, ...], joint: Array) -> Iterator[str]:
    """Yield a sentence for each way in which this table is known to mislead.

    Args:
        x: the modelled columns, ``(N, D)``.
        columns: their names.
        joint: modelled and context columns together.
    """
    duplicates = len(joint) - len(np.unique(group_of_rows(joint)))
    if duplicates:
        yield f"{duplicates:,} duplicate rows; duplicates are kept in one split"
    for name, column in zip(columns, x.T, strict=True):
        distinct = len(np.unique(column))
        if distinct < FEW_VALUES * len(x):
            remedy = (
                f"; it holds integers: data.dequantise=[{name}] makes it fair"
                if (column == np.round(column)).all()
                else ""
            )
            yield (
                f"column {name!r} has {distinct:,} distinct values in {len(x):,} rows: a density "
                f"can grow without bound on it{remedy}"
            )
    if x.shape[1] > 1:
        correlation = np.abs(np.corrcoef(x.T))
        for i, j in np.argwhere(np.triu(correlation > CORRELATED, 1)):
            yield (
                f"columns {columns[i]!r} and {columns[j]!r} are nearly the same "
                f"(correlation {correlation[i, j]:.3f})"
            )
    if len(x) < ROWS_PER_DIMENSION * x.shape[1]:
        yield f"{len(x):,} rows for {x.shape[1]} dimensions: fewer than 20 rows a dimension"
