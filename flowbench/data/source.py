"""What a loader hands on, before anything is split, scaled or batched."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowbench.data.densities import Density
from flowbench.spec.vocabulary import Split

Array = NDArray[Any]
Kind = str
"""`table`, `image` or `density`."""


@dataclass(frozen=True)
class Rows:
    """Events with what belongs to each; `x` is ``(N, *event_shape)``."""

    x: Array
    context: Array | None = None
    label: Array | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Array) -> Rows:
        """Return the rows at `index`."""
        return Rows(
            self.x[index],
            None if self.context is None else self.context[index],
            None if self.label is None else self.label[index],
        )


@dataclass(frozen=True)
class Source:
    """A data set as it was read and split.

    Attributes:
        name: shown in tables and reports.
        kind: `table`, `image` or `density`.
        splits: the three parts.
        row: for each part the index of its rows in the whole data set; keys the noise.
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
    splits: dict[Split, Rows]
    row: dict[Split, NDArray[np.int64]]
    levels: int | None = None
    dequantised: tuple[int, ...] | None = None
    preprocess: tuple[dict[str, Any], ...] = ({"name": "standardise"},)
    columns: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    density: Density | None = field(default=None, compare=False)
