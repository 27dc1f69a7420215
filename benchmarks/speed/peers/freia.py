"""FrEIA's flows."""

from copy import deepcopy
from math import log, pi

import torch
from FrEIA import framework, modules
from torch import Tensor

from benchmarks.speed.contestant import Contestant
from benchmarks.speed.peers.weights import copy_into, couplings, network
from flowbench.bijections.actnorm import ActNorm
from flowbench.bijections.residual import ResidualBlock
from flowbench.families.flow import Flow
from flowbench.families.residual import Residual
from flowbench.networks.contractive import LipSwish
from flowbench.networks.lipschitz import LipschitzLinear
from flowbench.numerics.bounded import soft_bound


def realnvp(flow: Flow) -> Contestant:
    """Return GLOW coupling blocks, of two couplings each; the first moves the first half.

    FlowBench's first coupling moves the second half: halves are swapped on the way in and out.
    """
    half = flow.dim // 2
    ours = couplings(flow)
    inn = framework.SequenceINN(flow.dim)
    for first, second in zip(ours[::2], ours[1::2], strict=True):
        bound = first.scale_bound
        nets = iter((network(second), network(first)))
        inn.append(
            modules.GLOWCouplingBlock,
            subnet_constructor=lambda inputs, outputs, nets=nets: next(nets),
            clamp=bound,
            clamp_activation=lambda u, bound=bound: soft_bound(u, bound, bound),
        )
        block = inn[len(inn) - 1]
        copy_into(block.subnet2, network(first))
        copy_into(block.subnet1, network(second))
    dtype = flow.base.anchor.dtype

    def log_prob(x: Tensor) -> Tensor:
        z, log_det = inn(torch.cat((x[:, half:], x[:, :half]), 1))
        density: Tensor = log_det - 0.5 * (z.square() + log(2 * pi)).sum(1)
        return density

    def sample(n: int) -> Tensor:
        x = inn(torch.randn(n, flow.dim, dtype=dtype), rev=True)[0]
        return torch.cat((x[:, half:], x[:, :half]), 1)

    return Contestant("FrEIA", inn.to(dtype), log_prob, sample)


class ResidualPeer:
    """FrEIA's residual flow, with its fixed number of fixed-point iterations.

    Args:
        flow: FlowBench's; its activation takes the place of FrEIA's.
    """

    def __init__(self, flow: Residual) -> None:
        self.flow = framework.SequenceINN(flow.dim)
        for layer in flow.bijections():
            if isinstance(layer, ActNorm):
                self.flow.append(modules.ActNorm)
                made = self.flow[len(self.flow) - 1]
                made.init_on_next_batch = False
                with torch.no_grad():
                    made.scale.copy_(-layer.log_scale)
                    made.bias.copy_(-layer.loc * (-layer.log_scale).exp())
            elif isinstance(layer, ResidualBlock):
                self._append(layer)
        self.dtype, self.dim = flow.base.anchor.dtype, flow.dim
        self.flow.to(self.dtype)

    def _append(self, block: ResidualBlock) -> None:
        linear = [each for each in block.branch.modules() if isinstance(each, LipschitzLinear)]
        self.flow.append(
            modules.IResNetLayer,
            internal_size=len(linear[0].weight),
            n_internal_layers=len(linear) - 2,
            spectral_norm_max=linear[0].lipschitz,
        )
        made = self.flow[len(self.flow) - 1]
        swishes = [each for each in block.branch.modules() if isinstance(each, LipSwish)]
        with torch.no_grad():
            for target, source in zip(made.layers, linear, strict=True):
                target.weight.copy_(source.bounded_weight())
                target.bias.copy_(source.bias)
        parts = [made.layers[0]]
        for swish, layer in zip(swishes, made.layers[1:], strict=True):
            parts += [deepcopy(swish), layer]
        made.residual = torch.nn.Sequential(*parts)

    def set_iterations(self, count: int) -> None:
        """Set how many evaluations each block takes to invert."""
        for layer in self.flow.modules():
            if isinstance(layer, modules.IResNetLayer):
                layer.fixed_point_iterations = count

    def truncate(self, terms: int) -> None:
        """Set how many terms of the log-determinant's series each block takes."""
        for layer in self.flow.modules():
            if isinstance(layer, modules.IResNetLayer):
                layer.jacobian_iterations = terms

    def decode(self, z: Tensor) -> Tensor:
        """Return data without log-determinants, which FrEIA's own sequence cannot leave out."""
        for layer in reversed(self.flow.module_list):
            (z,), _ = layer((z,), rev=True, jac=False)
        return z

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density; FrEIA's estimate needs gradients, and gives none to weights."""
        with torch.enable_grad():
            z, log_det = self.flow(x.clone().requires_grad_())
        density: Tensor = log_det - 0.5 * (z.square() + log(2 * pi)).sum(1)
        return density

    def after_step(self) -> None:
        """Scale the weights down, as its documentation says."""
        for layer in self.flow.modules():
            if isinstance(layer, modules.IResNetLayer):
                layer.lipschitz_correction()
