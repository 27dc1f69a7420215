"""What a data loader yields."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Events with what belongs to each.

    Attributes:
        x: ``(N, *event_shape)`` in data units; integers as they are, before dequantization.
        row: index of each event in its data set, ``(N,)``, int64; keys the noise.
        context: ``(N, C)`` or None.
        label: ``(N,)`` int64 or None.
    """

    x: Tensor
    row: Tensor
    context: Tensor | None = None
    label: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device (Lightning calls this)."""
        context = None if self.context is None else self.context.to(device)
        label = None if self.label is None else self.label.to(device)
        return Batch(self.x.to(device), self.row.to(device), context, label)
