"""Residual flows: i-ResNets and their unbiased successors."""

from collections.abc import Iterator
from itertools import count
from math import prod
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from flowbench.bijections.actnorm import ActNorm
from flowbench.bijections.base import Bijection
from flowbench.bijections.compose import Compose
from flowbench.bijections.estimated import LogDetMethod
from flowbench.bijections.inverse import Inverse
from flowbench.bijections.multiscale import Multiscale
from flowbench.bijections.preprocess import PreprocessSteps
from flowbench.bijections.residual import ResidualBlock
from flowbench.errors import InputError
from flowbench.families.bases import NormalBase
from flowbench.families.flow import Flow
from flowbench.networks.contractive import Activation, contractive_conv, contractive_mlp
from flowbench.networks.lipschitz import SpectralLayer

EXACT_DIM = 8
"""Up to this many dimensions the exact log-det costs about as much as one estimate of it."""

Width = Annotated[int, Field(ge=1, le=8192)]


class Residual(Flow):
    """Blocks x + g(x) with a contractive network g, normalised in between.

    Args:
        event_shape: ``(D,)`` or ``(C, H, W)``.
        depth: number of blocks; on images, per level.
        lipschitz: bound L of each branch g as a whole; its n linear maps get L^(1/n) each.
        log_det: `exact` from the whole Jacobian, a truncated `series`, or the unbiased
            `roulette`; None for `exact` up to 8 dimensions and `roulette` above.
        terms: of the series, or before the roulette begins; None for 10 and 2.
        probes: of each sample's log-determinant in training, where it is estimated; evaluation
            takes two at least.
        hidden: widths of each branch; channels on images.
        activation: of the branches.
        direction: `density`: the formula takes data to latent, so that likelihoods are direct
            and samples solve a fixed point a block; `generative`: the other way round.
        levels: of images; None for the most that the image size allows.
        squeeze_first: whether images are squeezed in front of the first level too, as in Glow, and
            not only between levels.
        factor_out: whether half of the channels leaves after each level of images.
        flat_depth: number of further blocks on flattened images, at the end.
        flat_hidden: widths of their branches.
        preprocess: see `Flow`.
        context_size: must be 0.
    """

    paper = (
        "Chen, Behrmann, Duvenaud and Jacobsen 2019, "
        "Residual Flows for Invertible Generative Modeling"
    )

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        depth: Annotated[int, Field(ge=1, le=256)] = 16,
        lipschitz: Annotated[float, Field(gt=0, lt=1)] = 0.97,
        log_det: LogDetMethod | None = None,
        terms: Annotated[int, Field(ge=1, le=100)] | None = None,
        probes: Annotated[int, Field(ge=1, le=64)] = 1,
        hidden: Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)] = (128, 128),
        activation: Activation = "lipswish",
        direction: Literal["density", "generative"] = "density",
        levels: Annotated[int, Field(ge=1, le=16)] | None = None,
        squeeze_first: bool = True,
        factor_out: bool = True,
        flat_depth: Annotated[int, Field(ge=0, le=256)] = 0,
        flat_hidden: Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)] = (128, 128),
        preprocess: Bijection | PreprocessSteps | None = None,
        context_size: int = 0,
    ) -> None:
        stream = count()

        def block(shape: tuple[int, ...], hidden: tuple[int, ...]) -> Bijection:
            dim = prod(shape)
            if len(shape) == 1:
                branch = contractive_mlp(dim, hidden, lipschitz, activation)
            else:
                channels, height, width = shape
                branch = contractive_conv((channels, height, width), hidden, lipschitz, activation)
            method = log_det or ("exact" if dim <= EXACT_DIM else "roulette")
            made = ResidualBlock(
                branch, dim, log_det=method, terms=terms, probes=probes, stream=next(stream)
            )
            return Inverse(made) if direction == "generative" else made

        def blocks(shape: tuple[int, ...], count: int, hidden: tuple[int, ...]) -> list[Bijection]:
            return [layer for _ in range(count) for layer in (block(shape, hidden), ActNorm(shape))]

        def steps(shape: tuple[int, ...], level: int = 0) -> list[Bijection]:
            return [ActNorm(shape), *blocks(shape, depth, hidden)]

        if len(event_shape) == 3:
            flow: Bijection = Multiscale(
                event_shape, levels, steps, squeeze_first=squeeze_first, factor_out=factor_out
            )
            if flat_depth:
                flow = Compose([flow, *blocks((prod(event_shape),), flat_depth, flat_hidden)])
        else:
            _refuse_on_vectors("squeeze_first", squeeze_first, True)
            _refuse_on_vectors("factor_out", factor_out, True)
            _refuse_on_vectors("flat_depth", flat_depth, 0)
            flow = Compose(steps(event_shape))
        super().__init__(
            event_shape,
            flow,
            NormalBase(prod(event_shape)),
            preprocess=preprocess,
            context_size=context_size,
        )

    def blocks(self) -> Iterator[ResidualBlock]:
        """The residual blocks, from data to base."""
        return (layer for layer in self.bijections() if isinstance(layer, ResidualBlock))

    def lipschitz_report(self, x: Tensor) -> dict[str, float]:
        """Return what is known of the branches' Lipschitz constants, for the record.

        To be called after fitting or loading; the certificate costs singular values of every
        layer (for convolutions, at every frequency).

        Args:
            x: data ``(N, *event_shape)`` at which the branches are measured.

        Returns:
            ``declared``, the bound L of each branch; ``per_layer``, the bound c of each of its
            linear maps; ``certified``, the largest upper bound over the blocks computed from
            their weights; ``certified_share``, the share of blocks where that is below 1, and so
            proves the block invertible; ``measured``, the largest norm of a branch's Jacobian
            seen at `x`, a lower bound.
        """
        blocks = list(self.blocks())
        certificates = [block.certificate() for block in blocks]
        linear_maps = [
            module.lipschitz
            for module in blocks[0].branch.modules()
            if isinstance(module, SpectralLayer)
        ]
        return {
            "declared": blocks[0].lipschitz,
            "per_layer": linear_maps[0],
            "certified": max(certificate.bound for certificate in certificates),
            "certified_share": sum(c.certified for c in certificates) / len(certificates),
            "measured": max(
                float(block.measured_lipschitz(inputs).max())
                for block, inputs in zip(blocks, self._branch_inputs(x), strict=True)
            ),
        }

    @torch.no_grad()
    def _branch_inputs(self, x: Tensor) -> list[Tensor]:
        """Return where each block's branch stands when `x` is encoded."""
        inputs: dict[nn.Module, Tensor] = {}

        def note(branch: nn.Module, given: tuple[Tensor, ...]) -> None:
            inputs[branch] = given[0]

        branches = [block.branch for block in self.blocks()]
        hooks = [branch.register_forward_pre_hook(note) for branch in branches]
        try:
            z = self.flow.encode_map(self.preprocess.encode_map(x))
            if len(inputs) < len(branches):  # Blocks that encode by an inverse: on the way back.
                self.flow.decode_map(z)
        finally:
            for hook in hooks:
                hook.remove()
        return [inputs[branch] for branch in branches]


def _refuse_on_vectors(key: str, value: int, allowed: int) -> None:
    if value != allowed:
        raise InputError(f"{key} = {value}: the data are vectors; allowed: {allowed}")
