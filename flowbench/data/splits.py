"""Splitting rows by `data_seed`: duplicates and groups stay in one part, shares are nested."""

import numpy as np
from numpy.typing import NDArray

from flowbench.data.source import Array
from flowbench.spec.vocabulary import Split

Index = NDArray[np.int64]

SHARES: dict[Split, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}


def group_of_rows(x: Array) -> Index:
    """Return a group number for each row, equal for equal rows, ``(N,)``."""
    flat = np.ascontiguousarray(x.reshape(len(x), -1))
    whole = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).ravel()
    return np.unique(whole, return_inverse=True)[1].astype(np.int64)


def join_groups(one: Index, other: Index) -> Index:
    """Return the finest grouping that keeps together what either grouping keeps together."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    size = int(one.max()) + 1 + int(other.max()) + 1
    edges = coo_matrix((np.ones(len(one)), (one, other + one.max() + 1)), shape=(size, size))
    return np.asarray(connected_components(edges, directed=False)[1][one], dtype=np.int64)


def split_rows(groups: Index, seed: int) -> dict[Split, Index]:
    """Split 80/10/10; rows of one group stay together.

    Args:
        groups: a group number for each row, ``(N,)``.
        seed: decides the order of the groups.

    Returns:
        The row indices of each part, in order.
    """
    number, members = np.unique(groups, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(number))
    # A group belongs to the part in which its middle row falls.
    middle = np.cumsum(members[order]) - members[order] / 2
    edges = np.cumsum([SHARES["train"], SHARES["validation"]]) * len(groups)
    part = np.empty(len(number), dtype=np.int64)
    part[order] = np.searchsorted(edges, middle, side="right")
    of_row = part[np.searchsorted(number, groups)]
    return {split: np.flatnonzero(of_row == i) for i, split in enumerate(SHARES)}


def nested_share(rows: Index, size: float, seed: int) -> Index:
    """Return a share of the training rows; a smaller share lies inside a larger one.

    Args:
        rows: the training rows.
        size: a fraction up to 1, else a number of rows.
        seed: decides the order.
    """
    count = round(size * len(rows)) if size <= 1 else min(int(size), len(rows))
    order = np.random.default_rng([seed, 1]).permutation(len(rows))
    return np.sort(rows[order[: max(count, 1)]])
