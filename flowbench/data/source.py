"""What a loader hands on, before anything is scaled or batched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flowbench.data.densities import Density
from flowbench.spec.vocabulary import Split

Array = NDArray[Any]
Index = NDArray[np.int64]
Kind = Literal["table", "image", "density"]


@dataclass(frozen=True)
class Rows:
    """Events with what belongs to each; `x` is ``(N, *event_shape)``."""

    x: Array
    context: Array | None = None
    label: Array | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Array) -> Rows:
        """Return a copy of the rows at `index`."""
        return Rows(
            self.x[index],
            None if self.context is None else self.context[index],
            None if self.label is None else self.label[index],
        )


@dataclass(frozen=True)
class Part:
    """One split: chosen rows of a pool that the splits may share.

    Nothing is copied before a batch is taken, so that a pool may be a memory-mapped file.

    Attributes:
        pool: where the rows lie.
        index: their positions in the pool.
        row: their numbers in the whole data set; these key the noise.
    """

    pool: Rows
    index: Index
    row: Index

    def __len__(self) -> int:
        return len(self.index)

    def take(self, positions: Array | slice) -> Rows:
        """Return a copy of the rows at these positions of the part."""
        return self.pool.take(self.index[positions])

    def only(self, positions: Index) -> Part:
        """Return the part with nothing but these positions of it."""
        return Part(self.pool, self.index[positions], self.row[positions])

    @property
    def label(self) -> Array | None:
        """The labels of the part, where there are any."""
        return None if self.pool.label is None else self.pool.label[self.index]


def parts_of_pool(pool: Rows, index: Mapping[Split, Index]) -> dict[Split, Part]:
    """Return the splits of one pool by the positions of their rows."""
    return {split: Part(pool, where, where) for split, where in index.items()}


def parts_as_given(rows: Mapping[Split, Rows]) -> dict[Split, Part]:
    """Return splits that are pools of their own; their rows are numbered through."""
    parts: dict[Split, Part] = {}
    start = 0
    for split, pool in rows.items():
        index = np.arange(len(pool))
        parts[split] = Part(pool, index, start + index)
        start += len(pool)
    return parts


@dataclass(frozen=True)
class Source:
    """A data set as it was read and split.

    Attributes:
        name: shown in tables and reports.
        kind: `table`, `image` or `density`.
        splits: the three parts.
        levels: number of integer values of each pixel, None for continuous data.
        dequantised: the coordinates of a table that are integers, None for none.
        preprocess: default steps, statistics still to be fitted.
        columns: names of the coordinates of a table.
        label_names: the words behind integer labels.
        warnings: what a reader of the results must know.
        density: the true density where it is known.
    """

    name: str
    kind: Kind
    splits: dict[Split, Part]
    levels: int | None = None
    dequantised: tuple[int, ...] | None = None
    preprocess: tuple[dict[str, Any], ...] = ({"name": "standardise"},)
    columns: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    density: Density | None = field(default=None, compare=False)
