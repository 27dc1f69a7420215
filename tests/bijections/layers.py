"""The layers of the coupling families, each in every form that matters, for tests of them all."""

from collections.abc import Callable
from math import prod

import torch
from perturbed import perturbed
from torch import Tensor

from flowbench.bijections.actnorm import ActNorm
from flowbench.bijections.base import Bijection
from flowbench.bijections.compose import Compose
from flowbench.bijections.coupling import CouplingStack, make_coupling
from flowbench.bijections.diagonal import Diagonal
from flowbench.bijections.inverse import Inverse
from flowbench.bijections.linear import LULinear, PlainLinear
from flowbench.bijections.multiscale import Multiscale
from flowbench.bijections.permutation import Permutation, shuffled_order
from flowbench.bijections.reshape import Flatten
from flowbench.bijections.splits import Split, alternate
from flowbench.bijections.squeeze import Squeeze

Shape = tuple[int, ...]

HIDDEN = (8, 8)


def coupling(kind: str, split: str, shape: Shape, ratio: float = 0.5, context: int = 0):
    return make_coupling(kind, Split(split, shape, ratio), HIDDEN, context_size=context)


def stack(kind: str, split: str, shape: Shape, ratio: float = 0.5) -> CouplingStack:
    return CouplingStack(
        [make_coupling(kind, each, HIDDEN) for each in alternate(split, shape, ratio, 3)]
    )


def two_levels(shape: Shape) -> Multiscale:
    return Multiscale(
        shape,
        2,
        lambda inner, level: [
            ActNorm(inner),
            LULinear(inner),
            make_coupling("affine", Split("channel", inner), HIDDEN),
        ],
        lambda inner, last: (
            Diagonal(*inner) if last else make_coupling("affine", Split("half", inner), HIDDEN)
        ),
    )


LAYERS: dict[str, tuple[Callable[[Shape], Bijection], Shape]] = {
    "diagonal": (lambda shape: Diagonal(*shape), (5,)),
    "diagonal-image": (lambda shape: Diagonal(*shape), (2, 3, 2)),
    "inverse": (lambda shape: Inverse(Diagonal(*shape)), (3,)),
    "actnorm": (ActNorm, (5,)),
    "actnorm-image": (ActNorm, (3, 2, 4)),
    "plain-linear": (PlainLinear, (5,)),
    "plain-linear-image": (PlainLinear, (3, 2, 4)),
    "lu-linear": (LULinear, (5,)),
    "lu-linear-one": (LULinear, (1,)),
    "lu-linear-image": (LULinear, (3, 2, 4)),
    "permutation": (lambda shape: Permutation(shuffled_order(shape[0], 3)), (5,)),
    "permutation-image": (lambda shape: Permutation(shuffled_order(shape[0], 3)), (5, 2, 2)),
    "flatten": (Flatten, (2, 3, 2)),
    "squeeze": (Squeeze, (2, 4, 6)),
    "additive-half": (lambda shape: coupling("additive", "half", shape), (5,)),
    "affine-half": (lambda shape: coupling("affine", "half", shape), (2,)),
    "affine-ratio": (lambda shape: coupling("affine", "half", shape, 0.3), (7,)),
    "affine-parity": (lambda shape: coupling("affine", "parity", shape), (5,)),
    "affine-parity-columns": (lambda shape: coupling("affine", "parity", shape), (2, 3, 4)),
    "affine-parity-odd-image": (lambda shape: coupling("affine", "parity", shape), (1, 3, 3)),
    "affine-channel": (lambda shape: coupling("affine", "channel", shape, 0.25), (4, 3, 3)),
    "affine-checkerboard": (lambda shape: coupling("affine", "checkerboard", shape), (4, 2, 3)),
    "stack-additive": (lambda shape: stack("additive", "parity", shape), (5,)),
    "stack-affine": (lambda shape: stack("affine", "half", shape, 0.4), (5,)),
    "stack-checkerboard": (lambda shape: stack("affine", "checkerboard", shape), (4, 2, 2)),
    "compose": (
        lambda shape: Compose([ActNorm(shape), LULinear(shape), coupling("affine", "half", shape)]),
        (4,),
    ),
    "multiscale": (two_levels, (1, 4, 4)),
}


def layer(name: str, scale: float = 1.0) -> Bijection:
    """Build a layer with parameters away from their start, in float64 and eval mode."""
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    return perturbed(make(shape), scale)


def events(name: str, n: int = 4) -> Tensor:
    """Data for the layer, ``(n, *event_shape)``."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, *LAYERS[name][1], generator=generator, dtype=torch.float64)


def full_jacobians(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return autograd's Jacobian of a batched map at each sample, ``(N, D, D)``."""
    size = prod(x.shape[1:])
    return torch.stack(
        [
            torch.autograd.functional.jacobian(lambda t: function(t[None])[0], each).reshape(
                size, size
            )
            for each in x
        ]
    )
