"""Inputs that no model was trained on: where a flow that inverts its data may yet fail."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from flowbench.spec.metrics import OUT_OF_DISTRIBUTION

FAR = 10.0
"""How many times further from the mean `far` points lie."""


def out_of_distribution(y: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Make the five kinds of input from held-out points, as many of each.

    All live in flow coordinates, where a flow has its say: a logit has its own box, and its own
    ways to fail.

    * `uniform`: over the box that the points span, coordinate by coordinate;
    * `gaussian`: independent normals of each coordinate's mean and deviation;
    * `rademacher`: corners, each coordinate one deviation above or below its mean;
    * `far`: the points themselves, ten times further from their mean;
    * `shuffled`: each coordinate taken from another point, so that all marginals are right and
      nothing else is.

    Args:
        y: held-out points in flow coordinates, ``(N, *event_shape)``.
        generator: on their device.

    Returns:
        ``(N, *event_shape)`` by kind, in the order of the record.
    """
    flat = y.flatten(1)
    mean, deviation = flat.mean(0), flat.std(0, correction=0)
    low, high = flat.amin(0), flat.amax(0)

    def drawn(draw: Callable[..., Tensor]) -> Tensor:
        return draw(flat.shape, generator=generator, dtype=y.dtype, device=y.device)

    made = {
        "uniform": low + (high - low) * drawn(torch.rand),
        "gaussian": mean + deviation * drawn(torch.randn),
        "rademacher": mean + deviation * torch.where(drawn(torch.rand) < 0.5, -1.0, 1.0),
        "far": mean + FAR * (flat - mean),
        "shuffled": flat.gather(0, drawn(torch.rand).argsort(0)),
    }
    return {kind: made[kind].reshape(y.shape) for kind in OUT_OF_DISTRIBUTION}
