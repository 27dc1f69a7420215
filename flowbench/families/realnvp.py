"""RealNVP: affine couplings."""

from math import prod

from flowbench.bijections.base import Bijection
from flowbench.bijections.coupling import ConditionerKind
from flowbench.bijections.preprocess import PreprocessSteps
from flowbench.bijections.splits import SplitKind
from flowbench.families.bases import NormalBase
from flowbench.families.flow import Flow
from flowbench.families.levels import by_level
from flowbench.families.steps import (
    Depth,
    Dropout,
    Levels,
    Normalisation,
    Ratio,
    ScaleBound,
    Widths,
    coupling_steps,
    make_learned_top,
)


class RealNVP(Flow):
    """Affine couplings with a bounded log-scale; on images level by level.

    Args:
        event_shape: ``(D,)`` or ``(C, H, W)``.
        depth: number of couplings; on images, per level.
        split: how couplings divide the event; None for halves of a vector, and on images for the
            checkerboard, then channels.
        split_ratio: the first part's share (splits `half` and `channel`).
        alternate: whether couplings move the two parts by turns; else, for ablations, the first
            part is never moved.
        hidden: widths of each conditioner.
        conditioner: `plain`, a layer for each of `hidden`, or `residual`, a residual block for each
            of them, which are then equal.
        scale_bound: largest |log-scale| of a coupling.
        normalisation: `actnorm` in front of each coupling, or `none`.
        learned_top: whether the base's mean and scale are learned; on images, those of what
            leaves after a level depend on what stays.
        levels: of images; None for the most that the size allows.
        dropout: share of hidden units that each conditioner drops in training.
        preprocess: see `Flow`.
        context_size: number of context features that the conditioners take.
    """

    paper = "Dinh, Sohl-Dickstein and Bengio 2017, Density estimation using Real NVP"

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        depth: Depth = 8,
        split: SplitKind | None = None,
        split_ratio: Ratio = 0.5,
        alternate: bool = True,
        hidden: Widths = (128, 128),
        conditioner: ConditionerKind = "plain",
        scale_bound: ScaleBound = 2.0,
        normalisation: Normalisation = "actnorm",
        learned_top: bool = True,
        levels: Levels | None = None,
        dropout: Dropout = 0.0,
        preprocess: Bijection | PreprocessSteps | None = None,
        context_size: int = 0,
    ) -> None:
        def steps(shape: tuple[int, ...], level: int) -> list[Bijection]:
            return coupling_steps(
                "affine",
                shape,
                depth=depth,
                split=split,
                split_ratio=split_ratio,
                alternate=alternate,
                hidden=hidden,
                conditioner=conditioner,
                normalisation=normalisation,
                scale_bound=scale_bound,
                context_size=context_size,
                dropout=dropout,
            )

        top = make_learned_top(scale_bound=scale_bound, context_size=context_size)
        flow = by_level(event_shape, levels, split, steps, top if learned_top else None)
        super().__init__(
            event_shape,
            flow,
            NormalBase(prod(event_shape)),
            preprocess=preprocess,
            context_size=context_size,
        )
