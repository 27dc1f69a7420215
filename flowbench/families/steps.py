"""What the coupling families build their levels from."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from flowbench.bijections.actnorm import ActNorm
from flowbench.bijections.base import Bijection
from flowbench.bijections.coupling import (
    ConditionerKind,
    CouplingKind,
    CouplingStack,
    make_coupling,
)
from flowbench.bijections.diagonal import Diagonal
from flowbench.bijections.multiscale import MakeTop
from flowbench.bijections.splits import Split, SplitKind, plan

Depth = Annotated[int, Field(ge=1, le=64)]
Ratio = Annotated[float, Field(gt=0, lt=1)]
Width = Annotated[int, Field(ge=1, le=8192)]
Widths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)]
ScaleBound = Annotated[float, Field(gt=0, le=10)]
Levels = Annotated[int, Field(ge=1, le=16)]
Dropout = Annotated[float, Field(ge=0, lt=1)]

Normalisation = Literal["none", "actnorm"]


def coupling_steps(
    kind: CouplingKind,
    shape: tuple[int, ...],
    *,
    depth: int,
    split: SplitKind | None,
    split_ratio: float,
    alternate: bool,
    hidden: Sequence[int],
    conditioner: ConditionerKind = "plain",
    normalisation: Normalisation = "none",
    scale_bound: float = 2.0,
    context_size: int = 0,
    dropout: float = 0.0,
) -> list[Bijection]:
    """Return alternating couplings on events of one shape, each behind its normalisation.

    Args:
        kind: of the couplings.
        shape: of a vector, or of an image at its level.
        depth: number of couplings.
        split: see `plan`.
        split_ratio: see `Split`.
        alternate: see `plan`.
        hidden: widths of each conditioner.
        conditioner: see `make_conditioner`.
        normalisation: in front of each coupling; without one, couplings over the same division
            of the event run on its two parts without joining them in between.
        scale_bound: of affine couplings.
        context_size: number of context features that the conditioners take.
        dropout: of the conditioners.
    """
    layers: list[Bijection] = []
    for run in plan(split, shape, split_ratio, depth, alternating=alternate):
        couplings = [
            make_coupling(
                kind,
                each,
                hidden,
                conditioner=conditioner,
                scale_bound=scale_bound,
                context_size=context_size,
                dropout=dropout,
            )
            for each in run
        ]
        if normalisation == "none":
            layers.append(CouplingStack(couplings))
        else:
            for coupling in couplings:
                layers += [ActNorm(shape), coupling]
    return layers


def make_learned_top(*, scale_bound: float, context_size: int) -> MakeTop:
    """Return what makes the base's mean and scale learned, as layers over a fixed base.

    What leaves after a level gets them from what stays, by an affine coupling whose network is one
    convolution (Kingma and Dhariwal 2018, "Glow", the released code); what is left at the end has
    its own, a coordinate each.
    """

    def make(shape: tuple[int, ...], last: bool) -> Bijection:
        if last:
            return Diagonal(*shape)
        return make_coupling(
            "affine",
            Split("half", shape),
            hidden=(),
            scale_bound=scale_bound,
            context_size=context_size,
        )

    return make
