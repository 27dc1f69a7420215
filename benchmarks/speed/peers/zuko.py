"""zuko's flows."""

from functools import partial

import torch
import zuko.flows
from torch import Tensor, nn
from zuko.transforms import MonotonicAffineTransform

from benchmarks.speed.contestant import Contestant
from benchmarks.speed.peers.weights import (
    copy_into,
    couplings,
    network,
    pairs_of_shift_and_scale,
    reorder_outputs,
)
from flowbench.families.flow import Flow
from flowbench.numerics.bounded import soft_bound


class BoundedAffine(MonotonicAffineTransform):  # type: ignore[misc]
    """zuko's affine map with the bound of RealNVP's log-scale instead of its own."""

    def __init__(self, shift: Tensor, scale: Tensor, bound: float) -> None:
        super().__init__(shift, scale)
        self.log_scale = soft_bound(scale, bound)
        self.scale = self.log_scale.exp()


def realnvp(flow: Flow) -> Contestant:
    """Return general couplings with the halves as masks."""
    (dim,) = flow.event_shape
    layers = []
    for coupling in couplings(flow):
        # zuko's mask is what a coupling copies.
        first = torch.arange(dim) < coupling.split.cut
        ours = network(coupling)
        linear = [each for each in ours.children() if isinstance(each, nn.Linear)]
        layer = zuko.flows.GeneralCouplingTransform(
            dim,
            mask=first if coupling.split.moved else ~first,
            univariate=partial(BoundedAffine, bound=coupling.scale_bound),
            hidden_features=[each.out_features for each in linear[:-1]],
        )
        reorder_outputs(linear[-1], pairs_of_shift_and_scale(linear[-1].out_features // 2))
        layer.to(flow.base.anchor.dtype)
        copy_into(layer.hyper, ours)
        layers.append(layer)
    base = zuko.lazy.UnconditionalDistribution(
        zuko.distributions.DiagNormal,
        loc=torch.zeros(dim),
        scale=torch.ones(dim),
        buffer=True,
    )
    made = zuko.lazy.Flow(layers, base).to(flow.base.anchor.dtype)
    return Contestant("zuko", made, lambda x: made().log_prob(x), lambda n: made().sample((n,)))
