"""A constructor for each layer there is, in every form that matters."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod

import torch

from flowbench.bijections.actnorm import ActNorm
from flowbench.bijections.base import Bijection
from flowbench.bijections.compose import Compose
from flowbench.bijections.coupling import (
    AdditiveCoupling,
    AffineCoupling,
    CouplingStack,
    make_coupling,
)
from flowbench.bijections.diagonal import Diagonal
from flowbench.bijections.inverse import Inverse
from flowbench.bijections.linear import LULinear, PlainLinear
from flowbench.bijections.multiscale import Multiscale
from flowbench.bijections.permutation import Permutation
from flowbench.bijections.planar import Planar
from flowbench.bijections.preprocess import Logit, Scale, Standardise
from flowbench.bijections.reshape import Flatten
from flowbench.bijections.residual import ResidualBlock
from flowbench.bijections.splits import Split, alternate
from flowbench.bijections.squeeze import Squeeze
from flowbench.bijections.sylvester import (
    GeneralSylvester,
    OrthogonalSylvester,
    TriangularSylvester,
)
from flowbench.conformance.case import Subject
from flowbench.networks.contractive import contractive_conv, contractive_mlp

Shape = tuple[int, ...]
HIDDEN = (8, 8)


@dataclass(frozen=True)
class Entry:
    """One form of a layer: how it is made, and what it takes to what."""

    layer: type[Bijection]
    form: str
    build: Callable[[], Bijection]
    shape: Shape
    latent: Shape | None = None
    context_size: int = 0
    within: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        return f"{self.layer.__name__} {self.form}".strip()

    def subject(self, scale: float) -> Subject:
        points = None
        if self.within is not None:
            low, high = self.within
            generator = torch.Generator().manual_seed(0)
            points = low + (high - low) * torch.rand(8, *self.shape, generator=generator)
        return Subject(
            group=self.layer.__name__,
            name=self.form,
            build=self.build,
            event_shape=self.shape,
            latent_shape=self.latent or self.shape,
            context_size=self.context_size,
            scale=scale,
            points=points,
        )


def coupling(kind: str, split: str, shape: Shape, ratio: float = 0.5, context_size: int = 0):
    return make_coupling(kind, Split(split, shape, ratio), HIDDEN, context_size=context_size)


def stack(kind: str, split: str, shape: Shape, context_size: int = 0) -> CouplingStack:
    splits = alternate(split, shape, 0.5, 3)
    return CouplingStack(
        [make_coupling(kind, each, HIDDEN, context_size=context_size) for each in splits]
    )


def block(shape: Shape, method: str, activation: str = "lipswish", **options) -> ResidualBlock:
    network = contractive_mlp if len(shape) == 1 else contractive_conv
    size = shape[0] if len(shape) == 1 else shape
    return ResidualBlock(
        network(size, HIDDEN, 0.8, activation), prod(shape), log_det=method, **options
    )


def two_levels(shape: Shape, context_size: int = 0) -> Multiscale:
    def steps(inner: Shape, level: int) -> list[Bijection]:
        return [ActNorm(inner), coupling("affine", "checkerboard", inner, 0.5, context_size)]

    return Multiscale(shape, 2, steps, lambda inner, last: coupling("affine", "half", inner))


def mixed(context_size: int = 0) -> Compose:
    return Compose(
        [ActNorm((3,)), LULinear((3,)), coupling("affine", "half", (3,), 0.5, context_size)]
    )


def entries() -> list[Entry]:
    """Every form; a layer of flowbench that is missing here fails a test."""
    made = [
        Entry(ActNorm, "vectors", partial(ActNorm, (3,)), (3,)),
        Entry(ActNorm, "images", partial(ActNorm, (2, 2, 3)), (2, 2, 3)),
        Entry(Compose, "", mixed, (3,)),
        Entry(Compose, "context", partial(mixed, 2), (3,), context_size=2),
        Entry(Diagonal, "", partial(Diagonal, 3), (3,)),
        Entry(Flatten, "", partial(Flatten, (2, 1, 3)), (2, 1, 3), (6,)),
        Entry(Inverse, "coupling", lambda: Inverse(coupling("affine", "half", (3,))), (3,)),
        Entry(Inverse, "planar", lambda: Inverse(Planar(3)), (3,)),
        Entry(Inverse, "residual", lambda: Inverse(block((2,), "roulette")), (2,)),
        Entry(LULinear, "vectors", partial(LULinear, (4,)), (4,)),
        Entry(LULinear, "images", partial(LULinear, (3, 2, 2)), (3, 2, 2)),
        Entry(PlainLinear, "vectors", partial(PlainLinear, (4,)), (4,)),
        Entry(PlainLinear, "images", partial(PlainLinear, (3, 2, 2)), (3, 2, 2)),
        Entry(Permutation, "vectors", lambda: Permutation(torch.randperm(4)), (4,)),
        Entry(Permutation, "images", lambda: Permutation(torch.randperm(4)), (4, 2, 1)),
        Entry(Planar, "atan", partial(Planar, 3, "atan"), (3,)),
        Entry(Planar, "line", partial(Planar, 1), (1,)),
        Entry(Scale, "", partial(Scale, (2, 2, 1), -3.0, 5.0), (2, 2, 1)),
        Entry(Logit, "", partial(Logit, (3,), 0.01), (3,), within=(0.01, 0.99)),
        Entry(
            Standardise,
            "",
            lambda: Standardise((2, 1, 2), torch.randn(2, 1, 2), torch.rand(2, 1, 2) + 0.5),
            (2, 1, 2),
        ),
        Entry(Squeeze, "", partial(Squeeze, (2, 2, 4)), (2, 2, 4), (8, 1, 2)),
        Entry(Multiscale, "", partial(two_levels, (1, 4, 4)), (1, 4, 4), (16,)),
        Entry(
            Multiscale,
            "context",
            partial(two_levels, (1, 4, 4), 2),
            (1, 4, 4),
            (16,),
            context_size=2,
        ),
        Entry(TriangularSylvester, "", partial(TriangularSylvester, 3), (3,)),
        Entry(TriangularSylvester, "reverse", lambda: TriangularSylvester(3, reverse=True), (3,)),
        Entry(OrthogonalSylvester, "", partial(OrthogonalSylvester, 4, 2), (4,)),
        Entry(OrthogonalSylvester, "M = D", partial(OrthogonalSylvester, 3, 3, "atan"), (3,)),
        Entry(GeneralSylvester, "", partial(GeneralSylvester, 4, 2, "softsign"), (4,)),
        Entry(GeneralSylvester, "M = D", partial(GeneralSylvester, 3, 3), (3,)),
        Entry(CouplingStack, "additive", partial(stack, "additive", "parity", (5,)), (5,)),
        Entry(CouplingStack, "context", partial(stack, "affine", "half", (3,), 2), (3,), None, 2),
        Entry(
            CouplingStack,
            "checkerboard",
            partial(stack, "affine", "checkerboard", (4, 2, 1)),
            (4, 2, 1),
        ),
        Entry(
            ResidualBlock,
            "roulette in 130 dimensions",
            lambda: block((130,), "roulette", "elu", stream=3),
            (130,),
        ),
    ]
    for layer, kind in ((AdditiveCoupling, "additive"), (AffineCoupling, "affine")):
        for split, shape, ratio in (
            ("half", (5,), 0.3),
            ("parity", (5,), 0.5),
            ("channel", (3, 2, 2), 0.5),
            ("checkerboard", (4, 1, 2), 0.5),
            ("parity", (1, 3, 3), 0.5),
            ("parity", (2, 1, 2), 0.5),
        ):
            build = partial(coupling, kind, split, shape, ratio)
            made.append(Entry(layer, f"{split} {shape}", build, shape))
        build = partial(coupling, kind, "half", (3,), 0.5, 2)
        made.append(Entry(layer, "context", build, (3,), context_size=2))
    for method in ("exact", "series", "roulette"):
        for shape in ((1,), (3,), (2, 2, 2)):
            build = partial(block, shape, method)
            made.append(Entry(ResidualBlock, f"{method} {shape}", build, shape))
    return made
