"""Reading the weights of FlowBench's flows."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from flowbench.bijections.coupling import AffineCoupling
from flowbench.families.flow import Flow
from flowbench.networks.conv import ConvNet
from flowbench.networks.mlp import MLP


def couplings(flow: Flow) -> list[AffineCoupling]:
    """Return the affine couplings, from data to base."""
    return [layer for layer in flow.bijections() if isinstance(layer, AffineCoupling)]


def network(coupling: AffineCoupling) -> nn.Sequential:
    """Return a conditioner's layers, as any user would write them."""
    conditioner = coupling.conditioner
    assert isinstance(conditioner, MLP | ConvNet)
    layers = (conditioner.first, *conditioner.rest)
    return nn.Sequential(
        *(nn.ReLU() if isinstance(each, nn.ReLU) else copied(each) for each in layers)
    )


def copied(layer: nn.Module) -> nn.Module:
    """Return a linear layer or a convolution with the same weights."""
    if isinstance(layer, nn.Linear):
        made: nn.Module = nn.Linear(layer.in_features, layer.out_features)
    else:
        assert isinstance(layer, nn.Conv2d)
        size, padding = layer.kernel_size[0], int(layer.padding[0])
        made = nn.Conv2d(layer.in_channels, layer.out_channels, size, padding=padding)
    made.to(layer.weight.dtype).load_state_dict(layer.state_dict())
    return made


def reorder_outputs(last: nn.Module, order: Iterable[int]) -> None:
    """Give a last layer's outputs another order."""
    assert isinstance(last, nn.Linear | nn.Conv2d)
    assert last.bias is not None
    index = torch.tensor(list(order))
    with torch.no_grad():
        last.weight.copy_(last.weight[index].clone())
        last.bias.copy_(last.bias[index].clone())


def copy_into(targets: Iterable[nn.Module], sources: Iterable[nn.Module]) -> None:
    """Copy weights from layers to layers, in their order."""
    for target, source in zip(_linear(targets), _linear(sources), strict=True):
        target.load_state_dict(source.state_dict())


def _linear(layers: Iterable[nn.Module]) -> list[nn.Module]:
    return [layer for layer in layers if hasattr(layer, "weight")]


def shift_then_scale(size: int) -> list[int]:
    """Return where shifts and log-scales are found for the order shift, log-scale.

    FlowBench's networks give log-scales first.
    """
    return [*range(size, 2 * size), *range(size)]


def pairs_of_shift_and_scale(size: int, *, scale_first: bool = False) -> list[int]:
    """Return where they are found for the order of one pair a coordinate."""
    first, second = (0, size) if scale_first else (size, 0)
    return [base + i for i in range(size) for base in (first, second)]


def planar_parameters(layer: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Return w, the constrained u and b of a planar layer."""
    from flowbench.bijections.planar import Planar

    assert isinstance(layer, Planar)
    with torch.no_grad():
        u_hat, _ = layer.constrained()
    return layer.w.detach().clone(), u_hat.clone(), layer.b.detach().clone()
