"""How a coupling divides an event: one concept for vectors and images."""

from dataclasses import dataclass
from math import floor, prod
from typing import Literal

import torch
from torch import Tensor

from flowbench.errors import InputError

SplitKind = Literal["half", "parity", "checkerboard", "channel"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Split:
    """Divide events into two tensors by slicing, and join them again.

    * `half`: the first coordinates and the rest; on images channels.
    * `parity`: even and odd (flattened) index.
    * `channel`: `half` on images only.
    * `checkerboard`: the two colours of an image's pixels, on the event after a `Squeeze`, whose
      channels are its four phases; images only.

    Attributes:
        kind: see above.
        event_shape: ``(D,)`` or ``(C, H, W)``.
        ratio: the first part's share of the coordinates or channels (`half`, `channel`).
        swap: whether the first part is the one that a coupling moves, and not the second;
            alternates from layer to layer.

    Raises:
        InputError: where the event cannot be divided so.
    """

    kind: SplitKind
    event_shape: Shape
    ratio: float = 0.5
    swap: bool = False

    def __post_init__(self) -> None:
        said = f"split = {self.kind}"
        if prod(self.event_shape) < 2:
            raise InputError(f"{said}: a coupling needs two coordinates or more, the data have one")
        image = len(self.event_shape) == 3
        if self.kind in ("checkerboard", "channel") and not image:
            raise InputError(f"{said}: needs images; allowed on vectors: half, parity")
        if self.kind in ("checkerboard", "parity") and self.ratio != 0.5:
            raise InputError(
                f"{said}: its parts are equal, split_ratio = {self.ratio} needs half or channel"
            )
        if self.kind == "checkerboard" and self.event_shape[0] % 4:
            raise InputError(
                f"{said}: needs an image of even height and width; allowed here: half, parity"
            )
        if self.kind in ("half", "channel") and self.event_shape[0] < 2:
            raise InputError(
                f"{said}: an event of shape {self.event_shape} has one channel; allowed: parity"
            )

    @property
    def cut(self) -> int:
        """Size of the first part along the event's first axis (`half`, `channel`)."""
        size = self.event_shape[0]
        return min(max(floor(self.ratio * size + 0.5), 1), size - 1)

    @property
    def columns(self) -> bool:
        """Whether even and odd index are even and odd columns, so that parts remain images."""
        return len(self.event_shape) == 3 and self.event_shape[2] % 2 == 0

    @property
    def shapes(self) -> tuple[Shape, Shape]:
        """Event shapes of the first and second part; flat where no image is left of them."""
        size, *rest = self.event_shape
        if self.kind == "checkerboard":
            return (size // 2, *rest), (size // 2, *rest)
        if self.kind == "parity":
            if self.columns:
                shape = (size, rest[0], rest[1] // 2)
                return shape, shape
            total = prod(self.event_shape)
            return ((total + 1) // 2,), (total // 2,)
        return (self.cut, *rest), (size - self.cut, *rest)

    @property
    def moved(self) -> int:
        """Index of the part that a coupling moves: 1, or 0 where swapped."""
        return 0 if self.swap else 1

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first and second part of ``(N, *event_shape)``, views where possible."""
        if self.kind == "checkerboard":
            quarter = self.event_shape[0] // 4
            corners = torch.cat((x[:, :quarter], x[:, 3 * quarter :]), 1)
            return corners, x[:, quarter : 3 * quarter]
        if self.kind == "parity":
            x = x if self.columns else x.flatten(1)
            return x[..., 0::2], x[..., 1::2]
        return x[:, : self.cut], x[:, self.cut :]

    def join(self, first: Tensor, second: Tensor) -> Tensor:
        """Undo `parts`."""
        if self.kind == "checkerboard":
            quarter = self.event_shape[0] // 4
            return torch.cat((first[:, :quarter], second, first[:, quarter:]), 1)
        if self.kind == "parity":
            pairs = torch.stack((first[..., : second.shape[-1]], second), -1).flatten(-2)
            if first.shape[-1] > second.shape[-1]:
                pairs = torch.cat((pairs, first[..., -1:]), -1)
            return pairs.reshape(len(first), *self.event_shape)
        return torch.cat((first, second), 1)


def alternate(kind: SplitKind, event_shape: Shape, ratio: float, count: int) -> list[Split]:
    """Return the splits of `count` couplings: the first copies the first part, the next the other.

    Over any two layers in a row, each coordinate is moved once.
    """
    return [Split(kind, event_shape, ratio, swap=bool(i % 2)) for i in range(count)]


def plan(
    kind: SplitKind | None,
    event_shape: Shape,
    ratio: float,
    count: int,
    *,
    alternating: bool = True,
) -> list[list[Split]]:
    """Return the splits of `count` couplings, in runs of one kind.

    Args:
        kind: of all couplings; None for halves of a vector, and for the two masks of Dinh et al.
            2017 on a squeezed image (section 3.4): first the checkerboard, then channels.
        event_shape: of a vector, or of an image at its level.
        ratio: see `Split`; other than 0.5, it leaves out the checkerboard.
        count: number of couplings.
        alternating: whether the couplings of a run move its two parts by turns; else the first
            part is never moved.
    """

    def run(kind: SplitKind, count: int) -> list[Split]:
        splits = alternate(kind, event_shape, ratio, count)
        return splits if alternating else splits[:1] * count

    if kind is None and len(event_shape) == 3 and event_shape[0] % 4 == 0 and ratio == 0.5:
        checkered = (count + 1) // 2
        runs = [run("checkerboard", checkered), run("channel", count - checkered)]
        return [each for each in runs if each]
    return [run(kind or "half", count)]
