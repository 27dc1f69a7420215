"""The learnable diagonal affine map."""

import torch
from torch import Tensor, nn

from flowbench.bijections.base import Bijection


class Diagonal(Bijection):
    r""":math:`z = e^{s} \odot x + t`, coordinate by coordinate; the formula is `encode`.

    It starts as the identity.

    Args:
        event_shape: D, or the axes of an image.
    """

    def __init__(self, *event_shape: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(event_shape))
        self.shift = nn.Parameter(torch.zeros(event_shape))

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        return torch.addcmul(self.shift, x, self.log_scale.exp()), self.log_scale.sum().expand(
            len(x)
        )

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        return (z - self.shift) * (-self.log_scale).exp(), (-self.log_scale.sum()).expand(len(z))
