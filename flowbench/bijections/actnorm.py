"""Normalisation whose statistics become parameters."""

import torch
from torch import Tensor, nn

from flowbench.bijections.base import Bijection
from flowbench.numerics.moments import feature_moments

STD_FLOOR = 0.1
"""A feature that is constant in the first batch is not stretched by more than ten."""


class ActNorm(Bijection):
    r""":math:`z = (x - \mathrm{loc})\, e^{-\mathrm{log\_scale}}`, feature by feature.

    Source: Kingma and Dhariwal 2018, "Glow", section 3.1; the formula is `encode`. Features are
    coordinates of vectors and channels of images. `initialise` sets loc and scale to the first
    batch's mean and standard deviation, over all ranks, in training mode and once: a layer that
    was loaded, evaluated or decoded first keeps what it has.

    Args:
        event_shape: ``(D,)`` or ``(C, H, W)``.
    """

    initialised: Tensor

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.positions = 1 if len(event_shape) == 1 else event_shape[1] * event_shape[2]
        shape = (event_shape[0], *(1 for _ in event_shape[1:]))
        self.loc = nn.Parameter(torch.zeros(shape))
        self.log_scale = nn.Parameter(torch.zeros(shape))
        self.register_buffer("initialised", torch.tensor(False))

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        if not self.training or self.initialised:
            return
        mean, std = feature_moments(x)
        self.loc.copy_(mean.view_as(self.loc))
        self.log_scale.copy_(std.clamp(min=STD_FLOOR).log().view_as(self.log_scale))
        self.initialised.fill_(True)

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        log_det = -self.positions * self.log_scale.sum()
        return (x - self.loc) * (-self.log_scale).exp(), log_det.expand(len(x))

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        log_det = self.positions * self.log_scale.sum()
        return torch.addcmul(self.loc, z, self.log_scale.exp()), log_det.expand(len(z))
