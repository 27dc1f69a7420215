"""Which rows go into which batch, the same for any number of ranks."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler


class EpochSampler(Sampler[list[int]]):
    """Batches of a permutation keyed by (seed, epoch); ranks share each global batch.

    With W ranks, rank r takes every W-th row of a global batch from the r-th on, so that the
    ranks' batches together are those of one process. The last, incomplete batch is left out, and
    epochs are numbered, so that training goes on from an epoch as if it had never stopped.
    """

    def __init__(
        self, rows: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self.rows, self.batch_size, self.seed = rows, min(batch_size, rows), seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation; Lightning calls this at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.rows // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.rows)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            batch = order[start : start + self.batch_size]
            yield batch[self.rank :: self.world_size].tolist()


class SequentialShare(Sampler[list[int]]):
    """All rows in order, unpadded; of each batch rank r takes every W-th row from the r-th on."""

    def __init__(self, rows: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        shares = [batch[rank::world_size] for batch in torch.arange(rows).split(batch_size)]
        self.batches = [share.tolist() for share in shares if len(share)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)
