"""The boundary step between integers and a flow: y = x + u, u uniform, keyed by row."""

from dataclasses import dataclass

import torch
from torch import Tensor

from flowbench.numerics.keyed_noise import uniform


@dataclass(frozen=True)
class Dequantizer:
    """Adds uniform noise to integers and takes it away again.

    The noise is keyed by (data set, row, draw): the same for every family, batch size, device and
    rank. A floor has no log-det, so this is no layer of a flow.

    Attributes:
        key: the data set's key.
        levels: number of integer values (images), None where only `columns` are integers.
        columns: coordinates of a table that are integers; None for all.
    """

    key: int
    levels: int | None = None
    columns: tuple[int, ...] | None = None

    @property
    def active(self) -> bool:
        """Whether anything is dequantised at all."""
        return self.levels is not None or bool(self.columns)

    def __call__(self, x: Tensor, row: Tensor, draw: int) -> Tensor:
        """Return ``x + u``, ``(N, *event_shape)``; ``x`` is left as it is.

        Args:
            x: integers as floats, ``(N, *event_shape)``.
            row: index of each event in its data set, ``(N,)``.
            draw: number of the draw (an epoch in training).
        """
        if not self.active:
            return x
        noise = uniform(self.key, draw, row, x[0].numel(), dtype=x.dtype).reshape(x.shape)
        # Rounding may carry 255 + u to 256 itself: stay below the next integer.
        y = torch.minimum(x + noise, torch.nextafter(x + 1, x))
        if self.columns is None:
            return y
        chosen = torch.zeros(x.shape[1], dtype=torch.bool, device=x.device)
        chosen[list(self.columns)] = True
        return torch.where(chosen, y, x)

    def quantise(self, y: Tensor) -> Tensor:
        """Take continuous values back to integers by floor, clipped to the levels there are."""
        if not self.active:
            return y
        if self.levels is not None:
            return y.floor().clamp(0, self.levels - 1)
        whole = y.clone()
        for column in self.columns or ():
            whole[:, column] = y[:, column].floor()
        return whole
