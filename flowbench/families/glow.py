"""Glow: steps of actnorm, a linear map and a coupling."""

from math import prod
from typing import Literal

import torch

from flowbench.bijections.actnorm import ActNorm
from flowbench.bijections.base import Bijection
from flowbench.bijections.coupling import CouplingKind, make_coupling
from flowbench.bijections.linear import LULinear, PlainLinear
from flowbench.bijections.permutation import Permutation, reversed_order, shuffled_order
from flowbench.bijections.preprocess import PreprocessSteps
from flowbench.bijections.splits import Split, SplitKind
from flowbench.families.bases import NormalBase
from flowbench.families.flow import Flow
from flowbench.families.levels import by_level
from flowbench.families.steps import (
    Depth,
    Dropout,
    Levels,
    Ratio,
    ScaleBound,
    Width,
    make_learned_top,
)

PermutationKind = Literal["reverse", "shuffle", "conv", "lu"]


class Glow(Flow):
    """Steps of actnorm, an invertible linear map and a coupling; on images level by level.

    Args:
        event_shape: ``(D,)`` or ``(C, H, W)``.
        depth: number of steps; on images, per level.
        width: of both hidden layers of each conditioner.
        permutation: what mixes the coordinates, or on images the channels, before each coupling:
            a fixed order (`reverse`, `shuffle`) or a learned linear map, on images a 1x1
            convolution, by its matrix (`conv`) or by its LU factors (`lu`).
        coupling: `affine` or `additive`.
        split: how couplings divide the event.
        split_ratio: the first part's share (splits `half` and `channel`).
        scale_bound: largest |log-scale| of a coupling.
        learned_top: whether the base's mean and scale are learned; on images, those of what
            leaves after a level depend on what stays.
        levels: of images; None for the most that the size allows.
        dropout: share of hidden units that each conditioner drops in training.
        preprocess: see `Flow`.
        context_size: number of context features that the conditioners take.
    """

    paper = "Kingma and Dhariwal 2018, Glow: Generative Flow with Invertible 1x1 Convolutions"

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        depth: Depth = 8,
        width: Width = 128,
        permutation: PermutationKind = "lu",
        coupling: CouplingKind = "affine",
        split: SplitKind = "half",
        split_ratio: Ratio = 0.5,
        scale_bound: ScaleBound = 2.0,
        learned_top: bool = True,
        levels: Levels | None = None,
        dropout: Dropout = 0.0,
        preprocess: Bijection | PreprocessSteps | None = None,
        context_size: int = 0,
    ) -> None:
        hidden = (width, width)

        def steps(shape: tuple[int, ...], level: int) -> list[Bijection]:
            maps = [_mix(permutation, shape, index) for index in range(depth)]
            layers: list[Bijection] = []
            for mix, each in zip(maps, _splits(maps, split, shape, split_ratio), strict=True):
                moves = make_coupling(
                    coupling,
                    each,
                    hidden,
                    scale_bound=scale_bound,
                    context_size=context_size,
                    dropout=dropout,
                )
                layers += [ActNorm(shape), mix, moves]
            return layers

        top = make_learned_top(scale_bound=scale_bound, context_size=context_size)
        super().__init__(
            event_shape,
            by_level(event_shape, levels, split, steps, top if learned_top else None),
            NormalBase(prod(event_shape)),
            preprocess=preprocess,
            context_size=context_size,
        )


def _mix(kind: PermutationKind, shape: tuple[int, ...], index: int) -> Bijection:
    """Return what mixes coordinates or channels in front of a level's coupling `index`."""
    if kind == "conv":
        return PlainLinear(shape)
    if kind == "lu":
        return LULinear(shape)
    size = shape[0]
    return Permutation(reversed_order(size) if kind == "reverse" else shuffled_order(size, index))


def _splits(
    maps: list[Bijection], kind: SplitKind, shape: tuple[int, ...], ratio: float
) -> list[Split]:
    """Return each coupling's split: it moves the part that was moved less so far, or the second.

    A fixed order may put a coordinate into the same part again and again (of three, `reverse`
    leaves the middle one), and a learned map mixes channels but no pixels.
    """
    moves = torch.zeros(1, *shape, dtype=torch.float64)
    splits = []
    for mix in maps:
        fixed = isinstance(mix, Permutation)
        moves = mix.encode_map(moves) if fixed else moves.mean(1, keepdim=True).expand_as(moves)
        first, second = Split(kind, shape, ratio).parts(moves)
        # Means that differ by rounding are the same.
        swap = bool(second.mean() - first.mean() > 1e-6)
        splits.append(Split(kind, shape, ratio, swap))
        moves = splits[-1].join(first + swap, second + (not swap))
    return splits
