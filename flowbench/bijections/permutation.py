"""Fixed permutations of a vector's coordinates, or of an image's channels."""

import torch
from torch import Tensor

from flowbench.bijections.base import Bijection


class Permutation(Bijection):
    """Put coordinates or channels in a fixed order, which checkpoints carry.

    Args:
        order: ``(F,)``, int64: where each coordinate of the latent comes from.
    """

    order: Tensor
    inverse_order: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        self.register_buffer("order", order)
        self.register_buffer("inverse_order", order.argsort())

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        return x.index_select(1, self.order), x.new_zeros(len(x))

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        return z.index_select(1, self.inverse_order), z.new_zeros(len(z))


def reversed_order(size: int) -> Tensor:
    """Return last to first, ``(size,)``."""
    return torch.arange(size).flip(0)


def shuffled_order(size: int, seed: int) -> Tensor:
    """Return a random order, ``(size,)``, the same for the same seed."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))
