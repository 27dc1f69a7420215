"""The learnable diagonal affine map."""

import torch
from torch import Tensor, nn

from flowbench.bijections.base import Bijection


class Diagonal(Bijection):
    r""":math:`z = e^{s} \odot x + t` on vectors; the formula is `encode`.

    It starts as the identity.

    Args:
        dim: number of coordinates D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(dim))
        self.shift = nn.Parameter(torch.zeros(dim))

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        return x * self.log_scale.exp() + self.shift, self.log_scale.sum().expand(len(x))

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        return (z - self.shift) * (-self.log_scale).exp(), (-self.log_scale.sum()).expand(len(z))
