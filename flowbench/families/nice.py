"""NICE: additive couplings and one diagonal scaling."""

from math import prod
from typing import Annotated, Literal

from pydantic import Field

from flowbench.bijections.base import Bijection
from flowbench.bijections.compose import Compose
from flowbench.bijections.coupling import CouplingStack, make_coupling
from flowbench.bijections.diagonal import Diagonal
from flowbench.bijections.preprocess import PreprocessSteps
from flowbench.bijections.splits import SplitKind, plan
from flowbench.errors import InputError
from flowbench.families.bases import LogisticBase, NormalBase
from flowbench.families.flow import Flow, flat
from flowbench.families.levels import by_level

Width = Annotated[int, Field(ge=1, le=8192)]
Widths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)]


class NICE(Flow):
    """Additive couplings, which keep volume, with one learned scale a coordinate at the end.

    Args:
        event_shape: ``(D,)`` or ``(C, H, W)``.
        depth: number of couplings (with `network: conv`, per level).
        split: how couplings divide the event; None for the paper's even and odd index, and with
            `network: conv` for the checkerboard, then channels.
        split_ratio: the first part's share (splits `half` and `channel`).
        hidden: widths of each conditioner.
        network: `mlp` flattens images, as the paper does; `conv` works on them level by level.
        levels: with `network: conv`; None for the most that the image size allows.
        base: the latent's distribution.
        dropout: share of hidden units that each conditioner drops in training.
        preprocess: see `Flow`.
        context_size: number of context features that the conditioners take.
    """

    paper = "Dinh, Krueger and Bengio 2014, NICE: Non-linear Independent Components Estimation"

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        depth: Annotated[int, Field(ge=1, le=64)] = 8,
        split: SplitKind | None = None,
        split_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        hidden: Widths = (128, 128),
        network: Literal["mlp", "conv"] = "mlp",
        levels: Annotated[int, Field(ge=1, le=16)] | None = None,
        base: Literal["logistic", "normal"] = "normal",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        preprocess: Bijection | PreprocessSteps | None = None,
        context_size: int = 0,
    ) -> None:
        dim = prod(event_shape)
        if network == "conv" and len(event_shape) != 3:
            raise InputError("network = conv: the data are vectors; allowed: mlp")

        def steps(shape: tuple[int, ...], level: int) -> list[Bijection]:
            return [
                CouplingStack(
                    [
                        make_coupling(
                            "additive", each, hidden, context_size=context_size, dropout=dropout
                        )
                        for each in run
                    ]
                )
                for run in plan(split if network == "conv" else split or "parity", shape, split_ratio, depth)
            ]

        if network == "conv":
            flow = by_level(event_shape, levels, split, steps)
        else:
            flow = flat(event_shape, [by_level((dim,), levels, split, steps)])
        super().__init__(
            event_shape,
            Compose([flow, Diagonal(dim)]),
            NormalBase(dim) if base == "normal" else LogisticBase(dim),
            preprocess=preprocess,
            context_size=context_size,
        )
