"""FrEIA's own flows."""

from math import log, pi
from typing import Any

import torch
from FrEIA import framework, modules
from torch import Tensor, nn

from benchmarks.peer_flows import WIDTH
from flowbench.adapters.adapted import AdaptedFlow

Shape = tuple[int, ...]


class FreiaFlow(AdaptedFlow):
    """A `SequenceINN` over the standard normal, which FrEIA leaves to its user."""

    def density(self, x: Tensor, context: Tensor | None) -> Tensor:
        z, log_det = self.to_latent(x, context)
        return log_det - 0.5 * (z.square() + log(2 * pi)).flatten(1).sum(1)

    def draw(self, n: int, context: Tensor | None) -> Tensor:
        noise = torch.randn(n, *self.latent_shape).to(next(self.parameters()))
        return self.to_data(noise, context)[0]

    def to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = self.flow(x)
        # Volume-preserving blocks give a number.
        return z, x.new_zeros(len(x)) + log_det

    def to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_det = self.flow(z, rev=True)
        return x, z.new_zeros(len(z)) + log_det


class Residual(FreiaFlow):
    """With a log-determinant that is estimated, and an inverse that is searched for.

    Both raise without gradients, as in sampling; they are given them here, to see the rest.
    """

    log_det_label = "estimate"
    inverse_label = "iterative"

    def after_step(self) -> None:
        """Scale the weights down, which FrEIA leaves to the training loop."""
        # It draws in the default dtype, whatever the weights are in.
        default = torch.get_default_dtype()
        torch.set_default_dtype(next(self.parameters()).dtype)
        try:
            for module in self.flow.modules():
                if isinstance(module, modules.IResNetLayer):
                    module.lipschitz_correction()
        finally:
            torch.set_default_dtype(default)

    def to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            return super().to_latent(x, context)

    def to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            return super().to_data(z, context)


def all_in_one(event_shape: Shape) -> FreiaFlow:
    """Return `AllInOneBlock`."""
    return _built(event_shape, modules.AllInOneBlock, subnet_constructor=_network)


def glow_coupling(event_shape: Shape) -> FreiaFlow:
    """Return `GLOWCouplingBlock`."""
    return _built(event_shape, modules.GLOWCouplingBlock, subnet_constructor=_network)


def realnvp(event_shape: Shape) -> FreiaFlow:
    """Return `RNVPCouplingBlock`."""
    return _built(event_shape, modules.RNVPCouplingBlock, subnet_constructor=_network)


def nice(event_shape: Shape) -> FreiaFlow:
    """Return `NICECouplingBlock`."""
    return _built(event_shape, modules.NICECouplingBlock, subnet_constructor=_network)


def actnorm(event_shape: Shape) -> FreiaFlow:
    """Return `ActNorm` and `GLOWCouplingBlock`."""
    inn = framework.SequenceINN(*event_shape)
    inn.append(modules.ActNorm)
    inn.append(modules.GLOWCouplingBlock, subnet_constructor=_network)
    return FreiaFlow(inn, event_shape)


def residual(event_shape: Shape) -> FreiaFlow:
    """Return `IResNetLayer`."""
    return _built(event_shape, modules.IResNetLayer, Residual, internal_size=WIDTH)


def _network(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs))


def _built(
    event_shape: Shape, block: Any, adapter: type[FreiaFlow] = FreiaFlow, **options: Any
) -> FreiaFlow:
    inn = framework.SequenceINN(*event_shape)
    for _ in range(2):
        inn.append(block, **options)
    return adapter(inn, event_shape)
