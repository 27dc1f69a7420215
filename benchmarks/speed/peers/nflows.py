"""nflows's flows."""

import torch
from nflows import transforms
from nflows.distributions import StandardNormal
from nflows.flows import Flow as NflowsFlow
from torch import Tensor, nn

from benchmarks.speed.contestant import Contestant
from benchmarks.speed.peers.weights import (
    couplings,
    network,
    reorder_outputs,
    shift_then_scale,
)
from flowbench.bijections.coupling import AffineCoupling
from flowbench.bijections.linear import LULinear
from flowbench.bijections.multiscale import Multiscale
from flowbench.families.flow import Flow
from flowbench.numerics.bounded import soft_bound


class BoundedAffineCoupling(transforms.AffineCouplingTransform):  # type: ignore[misc]
    """nflows's coupling with the bound of RealNVP's log-scale instead of its sigmoid."""

    bound = 2.0

    def _scale_and_shift(self, transform_params: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = transform_params.chunk(2, 1)
        return torch.exp(soft_bound(raw, self.bound)), shift


class WithoutContext(nn.Module):
    """A network as nflows calls it, with a context that is None."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor, context: None) -> Tensor:
        parameters: Tensor = self.layers(x)
        return parameters


def realnvp(flow: Flow) -> Contestant:
    """Return affine couplings with the halves as masks."""
    layers = [_coupling(each, flow.dim) for each in couplings(flow)]
    return _contestant(layers, flow)


def glow(flow: Flow) -> Contestant:
    """Return multi-scale steps of actnorm, 1x1 convolution and affine coupling.

    Its 1x1 convolution cannot take FlowBench's weights, having a positive diagonal.
    """
    body = flow.flow
    assert isinstance(body, Multiscale)
    made = transforms.MultiscaleCompositeTransform(len(body.levels))
    shape = flow.event_shape
    for level in body.levels:
        shape = (4 * shape[0], shape[1] // 2, shape[2] // 2)
        steps = [transforms.SqueezeTransform()]
        for layer in level.modules():
            if isinstance(layer, LULinear):
                steps += [
                    transforms.ActNorm(shape[0]),
                    transforms.OneByOneConvolution(shape[0], identity_init=False),
                ]
            elif isinstance(layer, AffineCoupling):
                steps.append(_coupling(layer, shape[0]))
        left = made.add_transform(transforms.CompositeTransform(steps), shape)
        shape = left or shape
    return _contestant([made], flow)


def _coupling(coupling: AffineCoupling, features: int) -> nn.Module:
    ours = network(coupling)
    size = coupling.split.shapes[coupling.split.moved][0]
    reorder_outputs(ours[-1], shift_then_scale(size))
    second = torch.arange(features) >= coupling.split.cut
    mask = second if coupling.split.moved else ~second
    made = BoundedAffineCoupling(mask.int(), lambda inputs, outputs: WithoutContext(ours))
    made.bound = coupling.scale_bound
    return made


def _contestant(layers: list[nn.Module], flow: Flow) -> Contestant:
    made = NflowsFlow(transforms.CompositeTransform(layers), StandardNormal((flow.dim,)))
    made.to(flow.base.anchor.dtype)
    # Actnorm sets itself from its first batch.
    made.train()
    with torch.no_grad():
        made.log_prob(torch.randn(8, *flow.event_shape, dtype=flow.base.anchor.dtype))
    return Contestant("nflows", made, made.log_prob, made.sample)
