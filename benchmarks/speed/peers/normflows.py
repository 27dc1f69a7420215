"""normflows's flows."""

from math import log, pi
from typing import Any

import torch
from normflows import MultiscaleFlow, NormalizingFlow, flows
from normflows.distributions import DiagGaussian
from normflows.flows.base import Reverse
from normflows.nets.lipschitz import InducedNormLinear, Swish
from normflows.utils import update_lipschitz
from torch import Tensor, nn

from benchmarks.speed.contestant import Contestant
from benchmarks.speed.peers.weights import (
    couplings,
    network,
    pairs_of_shift_and_scale,
    planar_parameters,
    reorder_outputs,
)
from flowbench.bijections.actnorm import ActNorm
from flowbench.bijections.coupling import AffineCoupling
from flowbench.bijections.linear import LULinear
from flowbench.bijections.multiscale import Multiscale
from flowbench.bijections.planar import Planar
from flowbench.bijections.residual import ResidualBlock
from flowbench.families.flow import Flow
from flowbench.families.residual import Residual
from flowbench.networks.contractive import LipSwish
from flowbench.networks.lipschitz import LipschitzLinear


def realnvp(flow: Flow) -> Contestant:
    """Return affine coupling blocks, which split and join by themselves."""
    # normflows goes from the base to the data.
    layers = [_coupling(each) for each in reversed(couplings(flow))]
    made = NormalizingFlow(DiagGaussian(flow.dim, trainable=False), layers)
    made.to(flow.base.anchor.dtype)
    return Contestant("normflows", made, made.log_prob, lambda n: _first(made.sample(n)))


def glow(flow: Flow) -> Contestant:
    """Return two levels of actnorm, 1x1 convolution and affine coupling."""
    body = flow.flow
    assert isinstance(body, Multiscale)
    levels: list[list[nn.Module]] = []
    for number, level in enumerate(body.levels):
        layers: list[nn.Module] = [flows.Squeeze()]
        # A squeeze orders channels by phase here and by channel there, until a map mixes them.
        channels = body.out_shapes[number][0] * (1 if number == len(body.levels) - 1 else 2)
        order: Tensor | None = torch.arange(channels).reshape(4, -1).T.flatten()
        for layer in level.modules():
            if isinstance(layer, ActNorm):
                actnorm = _actnorm(layer, order)
            elif isinstance(layer, LULinear):
                convolution = _one_by_one(layer, order)
                order = None
            elif isinstance(layer, AffineCoupling):
                block = flows.GlowBlock(channels, 1, use_lu=True)
                block.flows = nn.ModuleList([_coupling(layer), convolution, actnorm])
                layers.append(block)
        levels.append(layers[::-1])
    shapes = [tuple(shape) for shape in body.out_shapes]
    bases = [DiagGaussian(shape, trainable=False) for shape in reversed(shapes)]
    merges = [flows.Merge() for _ in levels[1:]]
    made = MultiscaleFlow(bases, levels[::-1], merges, class_cond=False)
    made.to(flow.base.anchor.dtype)
    return Contestant(
        "normflows", made, lambda x: made.log_prob(x, None), lambda n: _first(made.sample(n))
    )


def planar(flow: Flow) -> Contestant:
    """Return planar layers, whose formula goes from the base to the data: they cannot be inverted.

    What is timed is that formula, with a Gaussian at its end as in FlowBench's density direction.
    """
    layers = nn.ModuleList()
    for layer in flow.bijections():
        if isinstance(layer, Planar):
            w, u_hat, b = planar_parameters(layer)
            p = w @ u_hat
            # The raw u that normflows constrains to the same one: m(w u) = -1 + softplus(w u) = p.
            u = u_hat + (torch.log(torch.expm1(1 + p)) - p) * w / w.square().sum()
            layers.append(flows.Planar((flow.dim,), u=u[None], w=w[None], b=b[None]))

    def log_prob(x: Tensor) -> Tensor:
        total = x.new_zeros(len(x))
        for layer in layers:
            x, log_det = layer(x)
            total = total + log_det
        return total - 0.5 * (x.square() + log(2 * pi)).sum(1)

    return Contestant("normflows", layers, log_prob, None)


def _coupling(coupling: AffineCoupling) -> nn.Module:
    ours = network(coupling)
    size = coupling.split.shapes[coupling.split.moved][0]
    reorder_outputs(ours[-1], pairs_of_shift_and_scale(size))
    mode = "channel" if coupling.split.moved else "channel_inv"
    # The formula goes from the data to the base, as in FlowBench.
    block: nn.Module = Reverse(flows.AffineCouplingBlock(ours, split_mode=mode))
    return block


def _actnorm(layer: ActNorm, order: Tensor | None) -> nn.Module:
    made: Any = flows.ActNorm(tuple(layer.loc.shape))
    loc, log_scale = layer.loc.detach(), layer.log_scale.detach()
    if order is not None:
        loc, log_scale = loc[order], log_scale[order]
    with torch.no_grad():
        made.t.copy_(loc[None])
        made.s.copy_(log_scale[None])
    made.data_dep_init_done = torch.tensor(1.0)
    module: nn.Module = made
    return module


def _one_by_one(layer: LULinear, order: Tensor | None) -> nn.Module:
    with torch.no_grad():
        weight = layer.weight().clone()
        weight = weight if order is None else weight[:, order]
        permutation, lower, upper = torch.linalg.lu(weight)
        made: Any = flows.Invertible1x1Conv(layer.size, use_lu=True)
        made.to(weight.dtype)
        made.P.copy_(permutation)
        made.L.copy_(lower)
        made.sign_S.copy_(upper.diagonal().sign())
        made.log_S.copy_(upper.diagonal().abs().log())
        made.U.copy_(upper.triu(1))
    module: nn.Module = made
    return module


def _first(values: tuple[Tensor, Tensor]) -> Tensor:
    return values[0]


class ResidualPeer:
    """normflows's residual flow, whose fixed points stop by a tolerance of the last step.

    Args:
        flow: FlowBench's.
    """

    def __init__(self, flow: Residual) -> None:
        layers: list[nn.Module] = []
        for layer in flow.bijections():
            if isinstance(layer, ActNorm):
                layers.append(_actnorm(layer, None))
            elif isinstance(layer, ResidualBlock):
                layers.append(flows.Residual(_branch(layer), reverse=True))
        self.flow = NormalizingFlow(DiagGaussian(flow.dim, trainable=False), layers[::-1])
        self.flow.to(flow.base.anchor.dtype)
        self.tolerance = 1e-5

    def truncate(self, terms: int) -> None:
        """Take a fixed number of terms, which it does in training mode alone.

        Without what serves gradients: the Neumann series, and the backward pass within.
        """
        self.flow.eval()
        for layer in self.flow.flows:
            if isinstance(layer, flows.Residual):
                layer.iresblock.n_power_series = terms
                layer.iresblock.neumann_grad = layer.iresblock.grad_in_forward = False
                layer.iresblock.training = True

    def decode(self, z: Tensor) -> Tensor:
        """Return data without log-determinants, which normflows's own `sample` pays for too."""
        for layer in self.flow.flows:
            if isinstance(layer, flows.Residual):
                block = layer.iresblock
                z = block._inverse_fixed_point(z, atol=self.tolerance, rtol=self.tolerance)
            else:
                z = layer(z)[0]
        return z

    def after_step(self) -> None:
        """Take power iterations, as its documentation says."""
        update_lipschitz(self.flow, 5)


def _branch(block: ResidualBlock) -> nn.Sequential:
    layers: list[nn.Module] = []
    for ours in block.branch.modules():
        if isinstance(ours, LipschitzLinear):
            rows, columns = ours.weight.shape
            made = InducedNormLinear(columns, rows, coeff=ours.lipschitz, n_iterations=5)
            with torch.no_grad():
                made.weight.copy_(ours.weight)
                made.bias.copy_(ours.bias)
                made.u.copy_(ours.u[0])
                made.v.copy_(ours.v[0])
            layers.append(made)
        elif isinstance(ours, LipSwish):
            swish = Swish()
            with torch.no_grad():
                swish.beta.fill_(float(ours.raw_beta))
            layers.append(swish)
    return nn.Sequential(*layers)
