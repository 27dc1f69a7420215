"""torchflows's flows."""

from typing import Any

import torch
from torch import Tensor, nn
from torchflows.bijections.base import BijectiveComposition
from torchflows.bijections.finite.autoregressive.conditioning.coupling_masks import Coupling
from torchflows.bijections.finite.autoregressive.layers_base import CouplingBijection
from torchflows.bijections.finite.autoregressive.transformers.linear.affine import Affine
from torchflows.bijections.finite.residual.planar import Planar as TorchflowsPlanar
from torchflows.bijections.finite.residual.sylvester import Sylvester as TorchflowsSylvester
from torchflows.flows import Flow as TorchflowsFlow

from benchmarks.speed.contestant import Contestant
from benchmarks.speed.peers.weights import (
    copy_into,
    couplings,
    network,
    pairs_of_shift_and_scale,
    reorder_outputs,
)
from flowbench.bijections.planar import Planar
from flowbench.bijections.sylvester import OrthogonalSylvester
from flowbench.families.flow import Flow


def realnvp(flow: Flow) -> Contestant:
    """Return coupling bijections with feed-forward conditioners.

    An affine map's log-scale is half of what its network gives, without a bound.
    """
    (dim,) = flow.event_shape
    layers = []
    for coupling in couplings(flow):
        first = torch.arange(dim) < coupling.split.cut
        ours = network(coupling)
        linear = [each for each in ours.children() if isinstance(each, nn.Linear)]
        last = linear[-1]
        size = last.out_features // 2
        reorder_outputs(last, pairs_of_shift_and_scale(size, scale_first=True))
        with torch.no_grad():
            last.weight[::2] *= 2
            last.bias[::2] *= 2
        layer = CouplingBijection(
            (dim,),
            Affine,
            coupling=Coupling((dim,), first if coupling.split.moved else ~first),
            conditioner_kwargs={
                "n_layers": len(linear),
                "n_hidden": linear[0].out_features,
                "nonlinearity": nn.ReLU,
            },
        )
        layer.to(flow.base.anchor.dtype)
        copy_into(layer.conditioner_transform.sequential, ours)
        layers.append(layer)
    return _contestant(layers, flow)


def planar(flow: Flow) -> Contestant:
    """Return planar layers, by the formula that they call their inverse."""
    count = sum(isinstance(layer, Planar) for layer in flow.bijections())
    return _one_way([TorchflowsPlanar((flow.dim,)) for _ in range(count)], flow)


def sylvester(flow: Flow) -> Contestant:
    """Return Sylvester layers of D/2 units in the coordinates themselves."""
    count = sum(isinstance(layer, OrthogonalSylvester) for layer in flow.bijections())
    return _one_way([TorchflowsSylvester((flow.dim,)) for _ in range(count)], flow)


def _one_way(layers: list[Any], flow: Flow) -> Contestant:
    for layer in layers:
        layer.invert()
    made = _contestant(layers, flow)
    return Contestant(made.name, made.module, made.log_prob, None)


def _contestant(layers: list[Any], flow: Flow) -> Contestant:
    made = TorchflowsFlow(BijectiveComposition(layers)).to(flow.base.anchor.dtype)

    def sample(n: int) -> Tensor:
        x: Tensor = made.sample((n,))
        return x

    return Contestant("torchflows", made, made.log_prob, sample)
