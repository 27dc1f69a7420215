"""What is raced: architectures that FlowBench and its peers build alike."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.contestant import Contestant
from benchmarks.speed.peers import freia, nflows, normflows, torchflows, zuko
from flowbench.families.flow import Flow
from flowbench.families.registry import create

Peer = Callable[[Any], Contestant]
"""Builds another library's flow of the same architecture, and of the same weights."""


@dataclass(frozen=True)
class Architecture:
    """One row of the table.

    Attributes:
        name: a word for programs.
        title: for people.
        family: FlowBench's.
        event_shape: of the data.
        batch: points at once.
        options: of the family.
        peers: who builds it too.
        networks: whether there are networks, whose cost alone is the floor.
        note: what differs.
    """

    name: str
    title: str
    family: str
    event_shape: tuple[int, ...]
    batch: int
    options: dict[str, Any]
    peers: tuple[Peer, ...]
    networks: bool = True
    note: str = ""
    perturbation: float = field(default=0.05)

    def flow(self) -> Flow:
        """Build FlowBench's flow away from its start, where couplings are the identity."""
        torch.manual_seed(0)
        made = create(self.family, event_shape=self.event_shape, **self.options)
        assert isinstance(made, Flow)
        with torch.no_grad():
            made.initialise(self.points())
            for parameter in made.parameters():
                parameter.add_(self.perturbation * torch.randn_like(parameter))
        made.after_step()
        return made

    def points(self) -> Tensor:
        """Return one batch of data."""
        generator = torch.Generator().manual_seed(1)
        return torch.randn(self.batch, *self.event_shape, generator=generator)


def realnvp(batch: int, *, dim: int = 64, depth: int = 8, width: int = 128) -> Architecture:
    """Affine couplings of halves that alternate, nothing in between."""
    options = {
        "depth": depth,
        "split": "half",
        "hidden": (width, width),
        "normalisation": "none",
        "learned_top": False,
    }
    return Architecture(
        f"realnvp-{batch}",
        f"RealNVP, D={dim}, {depth} couplings, 2x{width} MLP, batch {batch}",
        "realnvp",
        (dim,),
        batch,
        options,
        (zuko.realnvp, nflows.realnvp, normflows.realnvp, freia.realnvp, torchflows.realnvp),
        note="normflows and torchflows bound no log-scale, which costs less.",
    )


def glow(*, side: int = 28, depth: int = 8, width: int = 64, batch: int = 32) -> Architecture:
    """Two levels of actnorm, 1x1 convolution by LU factors and an affine coupling."""
    options = {"depth": depth, "levels": 2, "width": width, "learned_top": False}
    return Architecture(
        "glow",
        f"Glow, 1x{side}x{side}, 2 levels x {depth} steps, width {width}, batch {batch}",
        "glow",
        (1, side, side),
        batch,
        options,
        (normflows.glow, nflows.glow),
        note="normflows bounds no log-scale; nflows's 1x1 convolution has a bias, and weights of"
        " its own.",
    )


def planar(*, dim: int = 64, depth: int = 32, batch: int = 1024) -> Architecture:
    """Planar layers; one direction is a formula, and the only one that peers have."""
    options = {"depth": depth}
    return Architecture(
        "planar",
        f"planar, D={dim}, {depth} layers, batch {batch}",
        "planar",
        (dim,),
        batch,
        options,
        (normflows.planar, torchflows.planar),
        networks=False,
        note="There are no networks: ratios are to FlowBench. Peers cannot invert; torchflows's"
        " layers have a sigmoid, weights of their own, and nothing that keeps them invertible.",
    )


def sylvester(*, dim: int = 64, depth: int = 8, units: int = 32, batch: int = 256) -> Architecture:
    """Sylvester layers of half as many units as coordinates."""
    options = {"depth": depth, "bottleneck": units, "variant": "orthogonal"}
    return Architecture(
        "sylvester",
        f"Sylvester, D={dim}, {depth} layers, M={units}, batch {batch}",
        "sylvester",
        (dim,),
        batch,
        options,
        (torchflows.sylvester,),
        networks=False,
        note="There are no networks: ratios are to FlowBench. torchflows has a sigmoid, weights of"
        " its own, a full determinant of M x M and no inverse.",
    )
