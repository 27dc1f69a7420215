"""The multi-scale skeleton that all image families share."""

from collections.abc import Callable, Sequence
from math import prod
from typing import cast

import torch
from torch import Tensor, nn

from flowbench.bijections.base import Bijection
from flowbench.bijections.compose import Compose
from flowbench.bijections.squeeze import Squeeze
from flowbench.errors import InputError
from flowbench.spec.vocabulary import InverseLabel, LogDetLabel, weakest_log_det

Shape = tuple[int, ...]
MakeSteps = Callable[[Shape, int], Sequence[Bijection]]
MakeTop = Callable[[Shape, bool], Bijection]


def most_levels(event_shape: tuple[int, ...]) -> int:
    """Return how many times height and width of ``(C, H, W)`` can be halved."""
    _, height, width = event_shape
    levels = 0
    while height % 2 == 0 and width % 2 == 0:
        height, width, levels = height // 2, width // 2, levels + 1
    return levels


class Multiscale(Bijection):
    """Levels of squeeze, steps, and half of the channels out, from images to flat latents.

    Source: Dinh et al. 2017, "Density estimation using Real NVP", section 3.6. Level k works at
    1/2^k of the height and width, or at twice that where the first is not squeezed. After each
    level but the last, the second half of the channels goes to the latent and the first half, with
    the odd one, to the next level. An image of odd height or width has one level, without a
    squeeze.

    Args:
        event_shape: ``(C, H, W)``.
        levels: how many; None for the most that the size allows.
        make_steps: from the event's shape at a level and the level's index to the level's layers.
        make_top: from the shape at a level and whether it is the last to one more layer after
            its steps: before a half goes out, where a coupling that moves the second half given
            the first makes the base of what goes out conditional on what stays (a learned top),
            or at the end. None for no such layers.
        squeeze_first: whether the first level is squeezed too, and not only those after it.
        factor_out: whether anything leaves before the end.

    Raises:
        InputError: if the size does not allow so many levels.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        levels: int | None,
        make_steps: MakeSteps,
        make_top: MakeTop | None = None,
        *,
        squeeze_first: bool = True,
        factor_out: bool = True,
    ) -> None:
        super().__init__()
        halvings = most_levels(event_shape)
        most = max(halvings, 1) if squeeze_first else halvings + 1
        count = most if levels is None else levels
        if count > most:
            raise InputError(
                f"levels = {count}: images of {event_shape[1]} x {event_shape[2]} can be halved "
                f"{halvings} times; allowed: 1 to {most}"
            )
        shape = tuple(event_shape)
        composed: list[Bijection] = []
        self.out_shapes: list[Shape] = []
        for index in range(count):
            layers: list[Bijection] = []
            if halvings and (squeeze_first or index):
                layers.append(Squeeze(shape))
                shape = (4 * shape[0], shape[1] // 2, shape[2] // 2)
            last = index == count - 1
            layers += make_steps(shape, index)
            if make_top is not None:
                layers.append(make_top(shape, last))
            composed.append(Compose(layers))
            leaves = shape[0] if last else shape[0] // 2 if factor_out else 0
            self.out_shapes.append((leaves, *shape[1:]))
            shape = (shape[0] - leaves, *shape[1:])
        self.levels = nn.ModuleList(composed)
        self.takes_context = any(level.takes_context for level in composed)

    @property
    def sequence(self) -> list[Bijection]:
        """The levels, from data to base."""
        return cast("list[Bijection]", list(self.levels))

    @property
    def log_det_label(self) -> LogDetLabel:
        return weakest_log_det([level.log_det_label for level in self.sequence])

    @property
    def inverse_label(self) -> InverseLabel:
        iterates = any(level.inverse_label == "iterative" for level in self.sequence)
        return "iterative" if iterates else "analytic"

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        outs: list[Tensor] = []
        for level in self.sequence:
            x, log_det = level.encode(x, self._given(level, context))
            total = total + log_det
            x = self._factor_out(x, outs)
        return torch.cat(outs, 1), total

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(len(z))
        outs = self._latents(z)
        x = outs.pop()
        for level in reversed(self.sequence):
            x, log_det = level.decode(x, self._given(level, context))
            total = total + log_det
            x = torch.cat((x, outs.pop()), 1) if outs else x
        return x, total

    def encode_map(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        outs: list[Tensor] = []
        for level in self.sequence:
            x = self._factor_out(level.encode_map(x, self._given(level, context)), outs)
        return torch.cat(outs, 1)

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        outs = self._latents(z)
        x = outs.pop()
        for level in reversed(self.sequence):
            x = level.decode_map(x, self._given(level, context))
            x = torch.cat((x, outs.pop()), 1) if outs else x
        return x

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        outs: list[Tensor] = []
        for level in self.sequence:
            level.initialise(x, self._given(level, context))
            x = self._factor_out(level.encode_map(x, self._given(level, context)), outs)

    def _given(self, level: Bijection, context: Tensor | None) -> Tensor | None:
        if not self.takes_context:
            self.refuse_context(context)
        return context if level.takes_context else None

    def _factor_out(self, x: Tensor, outs: list[Tensor]) -> Tensor:
        """Append what leaves after the level whose turn it is; return what stays."""
        leaves = self.out_shapes[len(outs)][0]
        stays = x.shape[1] - leaves
        outs.append(x[:, stays:].flatten(1))
        return x[:, :stays]

    def _latents(self, z: Tensor) -> list[Tensor]:
        """Cut flat latents into what left after each level."""
        parts = z.split([prod(shape) for shape in self.out_shapes], 1)
        shaped = zip(parts, self.out_shapes, strict=True)
        return [part.reshape(len(z), *shape) for part, shape in shaped]
