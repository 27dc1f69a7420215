"""Splitting rows by `data_seed`: duplicates and groups stay in one part, shares are nested."""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from flowbench.data.source import Array, Index
from flowbench.errors import InputError
from flowbench.spec.vocabulary import Split

SHARES: dict[Split, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}


def row_keys(x: Array) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each row's values, ``(N,)``; equal rows have equal keys.

    Rows are read one at a time, so `x` may be a memory-mapped file. Two different rows share a
    key once in 10^7 data sets of a million rows, and would merely end up in the same split.
    """
    zero = x.dtype.type(0)  # -0.0 equals 0.0: adding zero gives both the same bytes
    digests = (blake2b((row + zero).tobytes(), digest_size=8).digest() for row in x)
    return np.frombuffer(b"".join(digests), np.uint64)


def groups_of(keys: Array) -> Index:
    """Number the distinct keys: a group number for each row, ``(N,)``."""
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


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

    Raises:
        InputError: if a part would be empty.
    """
    number, members = np.unique(groups, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(number))
    # A group belongs to the part in which its middle row falls.
    middle = np.cumsum(members[order]) - members[order] / 2
    edges = np.cumsum([SHARES["train"], SHARES["validation"]]) * len(groups)
    part = np.empty(len(number), dtype=np.int64)
    part[order] = np.searchsorted(edges, middle, side="right")
    of_row = part[np.searchsorted(number, groups)]
    index = {split: np.flatnonzero(of_row == i) for i, split in enumerate(SHARES)}
    for split, rows in index.items():
        if not len(rows):
            raise InputError(
                f"{len(groups):,} rows in {len(number):,} groups are too few to split 80/10/10: "
                f"{split} is empty"
            )
    return index


def nested_share(count: int, size: float, seed: int) -> Index:
    """Return which training rows make a share; a smaller share lies inside a larger one.

    Args:
        count: the training rows there are.
        size: a fraction up to 1, else a number of rows.
        seed: decides the order.

    Raises:
        InputError: for more rows than there are.
    """
    if size > max(count, 1):
        raise InputError(f"data.train_size = {size:g}: the training split has {count:,} rows")
    wanted = max(round(size * count), 1) if size <= 1 else int(size)
    return np.sort(np.random.default_rng([seed, 1]).permutation(count)[:wanted])
