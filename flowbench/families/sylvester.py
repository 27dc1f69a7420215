"""Sylvester flows."""

from math import prod
from typing import Annotated, Literal

from pydantic import Field

from flowbench.bijections.actnorm import ActNorm
from flowbench.bijections.base import Bijection
from flowbench.bijections.diagonal import Diagonal
from flowbench.bijections.inverse import Inverse
from flowbench.bijections.preprocess import PreprocessSteps
from flowbench.bijections.sylvester import (
    GeneralSylvester,
    OrthogonalSylvester,
    TriangularSylvester,
)
from flowbench.errors import InputError
from flowbench.families.bases import NormalBase
from flowbench.families.flow import Flow, flat

WIDEST = 32
"""Units of a layer where none are asked for: each costs a scalar equation in sampling."""


REFLECTIONS = 8
"""Of a layer of the Householder variant, as in van den Berg et al. 2018, section 6."""


class Sylvester(Flow):
    """Sylvester layers, many planar bends at once, between two diagonal affine maps.

    The map at the data starts by standardising the first batch: the bends are laid out for that.

    Args:
        event_shape: ``(D,)`` or ``(C, H, W)``; images are flattened.
        depth: number of Sylvester layers.
        bottleneck: units M of each layer, at most D; None for D, or 32 where D is more. The
            variant `triangular` always has D.
        variant: `orthogonal`: triangular factors in an orthonormal basis; `householder`: the
            basis made of up to 8 reflections; `triangular`: the coordinates themselves, reversed
            in every other layer; `general`: free factors.
        activation: what each unit adds along its direction.
        direction: `density`: the formula takes data to latent, so that likelihoods are direct
            and samples solve M equations a layer; `generative`: the other way round.
        eps: how far each layer keeps from the border of invertibility.
        preprocess: see `Flow`.
        context_size: must be 0.
    """

    paper = (
        "van den Berg, Hasenclever, Tomczak and Welling 2018, "
        "Sylvester Normalizing Flows for Variational Inference"
    )

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        depth: Annotated[int, Field(ge=1, le=256)] = 32,
        bottleneck: Annotated[int, Field(ge=1, le=4096)] | None = None,
        variant: Literal["orthogonal", "householder", "triangular", "general"] = "orthogonal",
        activation: Literal["tanh", "atan", "softsign"] = "tanh",
        direction: Literal["density", "generative"] = "density",
        eps: Annotated[float, Field(ge=1e-6, lt=1)] = 1e-3,
        preprocess: Bijection | PreprocessSteps | None = None,
        context_size: int = 0,
    ) -> None:
        dim = prod(event_shape)
        if variant == "triangular" and bottleneck not in (None, dim):
            raise InputError(f"bottleneck = {bottleneck}: variant triangular allows {dim} only")
        if bottleneck is not None and bottleneck > dim:
            raise InputError(f"bottleneck = {bottleneck}: allowed: 1 to {dim}, the dimension")
        units = bottleneck or min(dim, WIDEST)

        def layer(index: int) -> Bijection:
            match variant:
                case "orthogonal":
                    return OrthogonalSylvester(dim, units, activation, eps)
                case "householder":
                    reflections = min(dim, REFLECTIONS)
                    return OrthogonalSylvester(dim, units, activation, eps, reflections)
                case "triangular":
                    return TriangularSylvester(dim, activation, eps, reverse=index % 2 == 1)
                case "general":
                    return GeneralSylvester(dim, units, activation, eps)

        layers = [layer(index) for index in range(depth)]
        if direction == "generative":
            layers = [Inverse(each) for each in layers]
        super().__init__(
            event_shape,
            flat(event_shape, [ActNorm((dim,)), *layers, Diagonal(dim)]),
            NormalBase(dim),
            preprocess=preprocess,
            context_size=context_size,
        )
