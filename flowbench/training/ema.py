"""An exponential moving average of the weights."""

from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    r"""Averages a module's parameters over optimiser steps; `swap` trades places with them.

    After the t-th step (t = 1, 2, ...) the average is

    .. math:: \bar w_1 = w_1, \qquad \bar w_t = d_t \bar w_{t-1} + (1 - d_t) w_t, \qquad
              d_t = \min\left(d, \frac{t}{t + 9}\right),

    so that a short training is not averaged with its start. Buffers are not averaged: they
    belong to the weights they were made from, and whoever swaps renews them.

    Args:
        module: whose parameters; they keep their storage (DDP has buckets of it).
        decay: d.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.updates = 0
        self.average: list[Tensor] = []
        self._kept: list[Tensor] | None = None

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights after an optimiser step into the average."""
        weights: list[Tensor] = list(self.module.parameters())
        self.updates += 1
        if not self.average:
            self.average = [w.detach().clone() for w in weights]
            return
        decay = min(self.decay, self.updates / (self.updates + 9))
        torch._foreach_lerp_(self.average, weights, 1 - decay)

    @torch.no_grad()
    def swap_in(self) -> None:
        """Give the module the averaged weights, keeping its own weights and buffers aside."""
        if not self.average:
            return
        tensors = [*self.module.parameters(), *self.module.buffers()]
        self._kept = [t.detach().clone() for t in tensors]
        for weight, average in zip(self.module.parameters(), self.average, strict=True):
            weight.copy_(average)

    @torch.no_grad()
    def swap_out(self) -> None:
        """Give the module its own weights and buffers back, to the last bit."""
        if self._kept is None:
            return
        tensors = [*self.module.parameters(), *self.module.buffers()]
        for tensor, kept in zip(tensors, self._kept, strict=True):
            tensor.copy_(kept)
        self._kept = None

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs."""
        return {"updates": self.updates, "average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved average."""
        self.updates, self.average = state["updates"], state["average"]

    def follow(self) -> None:
        """Move the average to where the weights are; a checkpoint is read before they move."""
        pairs = zip(self.average, self.module.parameters(), strict=False)
        self.average = [average.to(weight.device) for average, weight in pairs]
