"""FlowBench's side of a race, and the floor: what the networks alone cost."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.contestant import Contestant
from benchmarks.speed.peers.weights import couplings, network
from flowbench.families.flow import Flow


def flowbench(flow: Flow) -> Contestant:
    """Return the flow as it is."""
    return Contestant("FlowBench", flow, flow.log_prob, flow.sample, flow.after_step)


class Networks(nn.Module):
    """The conditioners alone, each at the input that it has within the flow."""

    def __init__(self, networks: Sequence[nn.Module], inputs: list[Tensor]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.inputs = inputs

    def forward(self, x: Tensor) -> Tensor:
        """Run all of them, and return a number whose gradient reaches each output."""
        outputs = [net(given) for net, given in zip(self.networks, self.inputs, strict=True)]
        return torch.stack([output.sum() for output in outputs])

    @torch.no_grad()
    def run(self, n: int) -> Any:
        """Run all of them, and return every output, for a compiler drops what nobody asks for."""
        return [net(given) for net, given in zip(self.networks, self.inputs, strict=True)]


def floors(flow: Flow, x: Tensor) -> list[Contestant]:
    """Return the networks of a coupling flow, at a batch: as users write them, and FlowBench's own.

    Its own rectify in place, and on images run pixel by pixel.
    """
    layers = couplings(flow)
    inputs: list[Tensor] = []
    hooks = [
        layer.conditioner.register_forward_pre_hook(
            lambda _, given: inputs.append(given[0].detach().clone())
        )
        for layer in layers
    ]
    with torch.no_grad():
        flow.log_prob(x)
    for hook in hooks:
        hook.remove()
    own = [deepcopy(layer.conditioner) for layer in layers]
    return [
        alone([network(layer) for layer in layers], inputs),
        alone(own, inputs, "FlowBench's networks alone"),
    ]


def alone(
    networks: Sequence[nn.Module], inputs: list[Tensor], name: str = "networks alone"
) -> Contestant:
    """Return networks as a contestant."""
    made = Networks(networks, inputs)
    return Contestant(name, made, made, made.run)
