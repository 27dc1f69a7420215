"""Planar flows."""

from math import prod
from typing import Annotated, Literal

from pydantic import Field

from flowbench.bijections.actnorm import ActNorm
from flowbench.bijections.base import Bijection
from flowbench.bijections.diagonal import Diagonal
from flowbench.bijections.inverse import Inverse
from flowbench.bijections.planar import Planar as PlanarLayer
from flowbench.bijections.preprocess import PreprocessSteps
from flowbench.families.bases import NormalBase
from flowbench.families.flow import Flow, flat


class Planar(Flow):
    """Planar layers, each bending space along one direction, between two diagonal affine maps.

    The map at the data starts by standardising the first batch: the bends are laid out for that.

    Args:
        event_shape: ``(D,)`` or ``(C, H, W)``; images are flattened.
        depth: number of planar layers.
        activation: what each layer adds along its direction.
        direction: `density`: the formula takes data to latent, so that likelihoods are direct
            and samples solve one scalar equation a layer; `generative`: the other way round.
        eps: how far each layer keeps from the border of invertibility.
        preprocess: see `Flow`.
        context_size: must be 0.
    """

    paper = "Rezende and Mohamed 2015, Variational Inference with Normalizing Flows"

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        depth: Annotated[int, Field(ge=1, le=256)] = 32,
        activation: Literal["tanh", "atan", "softsign"] = "tanh",
        direction: Literal["density", "generative"] = "density",
        eps: Annotated[float, Field(ge=1e-6, lt=1)] = 1e-3,
        preprocess: Bijection | PreprocessSteps | None = None,
        context_size: int = 0,
    ) -> None:
        dim = prod(event_shape)
        layers: list[Bijection] = [PlanarLayer(dim, activation, eps) for _ in range(depth)]
        if direction == "generative":
            layers = [Inverse(layer) for layer in layers]
        super().__init__(
            event_shape,
            flat(event_shape, [ActNorm((dim,)), *layers, Diagonal(dim)]),
            NormalBase(dim),
            preprocess=preprocess,
            context_size=context_size,
        )
