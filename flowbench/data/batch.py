"""What a data loader yields, and how much of it to handle at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from flowbench.families.flow import Flow

ELEMENTS = 100_000
"""Coordinates in a batch on a CPU: more (127 MNIST images) leave its caches and are slower."""


def rows_at_once(flow: Flow, asked: int) -> int:
    """Return how many points to measure at once, `asked` at the most; no number depends on it."""
    if next(flow.parameters()).device.type != "cpu":
        return asked
    return max(1, min(asked, ELEMENTS // flow.dim))


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

    def parts(self, rows: int) -> Iterator[Batch]:
        """Yield the batch in order, so many rows at a time, the last as many as are left."""
        for start in range(0, len(self), rows):
            here = slice(start, start + rows)
            context = None if self.context is None else self.context[here]
            label = None if self.label is None else self.label[here]
            yield Batch(self.x[here], self.row[here], context, label)
