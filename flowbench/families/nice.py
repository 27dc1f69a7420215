"""NICE: additive couplings and one diagonal scaling."""

from math import prod
from typing import Literal

from flowbench.bijections.base import Bijection
from flowbench.bijections.compose import Compose
from flowbench.bijections.diagonal import Diagonal
from flowbench.bijections.preprocess import PreprocessSteps
from flowbench.bijections.splits import SplitKind
from flowbench.errors import InputError
from flowbench.families.bases import LogisticBase, NormalBase
from flowbench.families.flow import Flow, flat
from flowbench.families.levels import by_level
from flowbench.families.steps import Depth, Dropout, Levels, Ratio, Widths, coupling_steps


class NICE(Flow):
    """Additive couplings, which keep volume, with one learned scale a coordinate at the end.

    Args:
        event_shape: ``(D,)`` or ``(C, H, W)``.
        depth: number of couplings (with `network: conv`, per level).
        split: how couplings divide the event; None for the paper's even and odd index, and with
            `network: conv` for the checkerboard, then channels.
        split_ratio: the first part's share (splits `half` and `channel`).
        alternate: whether couplings move the two parts by turns; else, for ablations, the first
            part is never moved.
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
        depth: Depth = 8,
        split: SplitKind | None = None,
        split_ratio: Ratio = 0.5,
        alternate: bool = True,
        hidden: Widths = (128, 128),
        network: Literal["mlp", "conv"] = "mlp",
        levels: Levels | None = None,
        base: Literal["logistic", "normal"] = "normal",
        dropout: Dropout = 0.0,
        preprocess: Bijection | PreprocessSteps | None = None,
        context_size: int = 0,
    ) -> None:
        dim = prod(event_shape)
        if network == "conv" and len(event_shape) != 3:
            raise InputError("network = conv: the data are vectors; allowed: mlp")
        if network == "mlp" and levels is not None:
            raise InputError(f"levels = {levels}: network = mlp has none; allowed: null")
        if network == "mlp" and split is None:
            split = "parity" if split_ratio == 0.5 else "half"

        def steps(shape: tuple[int, ...], level: int) -> list[Bijection]:
            return coupling_steps(
                "additive",
                shape,
                depth=depth,
                split=split,
                split_ratio=split_ratio,
                alternate=alternate,
                hidden=hidden,
                context_size=context_size,
                dropout=dropout,
            )

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
