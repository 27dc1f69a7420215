"""The loosest settings of an iterative sampler that keep stated errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from flowbench.bijections.residual import ResidualBlock
from flowbench.evaluation.measuring import seeded
from flowbench.families.flow import Flow
from flowbench.families.foreign import ForeignFlow
from flowbench.metrics.inversion import largest_error

CHUNK = 128
"""Latents decoded at once for reference."""
REFERENCE_SECONDS = 10.0
"""Time given to the reference decode; the pool holds what was decoded in it."""
REFERENCE_ITERATIONS = 2000
"""Evaluations of a branch that the reference may take, whatever limit the flow has."""
TOLERANCES = [10 ** (-k / 2) for k in range(15)]
"""Relative tolerances to try, from 1 down to 1e-7; then round-off, which is 0."""


@dataclass(frozen=True)
class Pool:
    """Latents whose decode is known to a stated error.

    Attributes:
        z: latents of the base, ``(P, D)``.
        context: ``(P, C)`` or None.
        error: the worst error over the pool, in flow coordinates, of any coordinate.
        tolerance: at which the iterative layers stop; None where none has a tolerance.
    """

    z: Tensor
    context: Tensor | None
    error: float
    tolerance: float | None

    @property
    def setting(self) -> str:
        """The sampler's setting in words."""
        return "to round-off" if not self.tolerance else f"relative tolerance {self.tolerance:.1e}"

    def decode(self, flow: Flow, n: int, turn: int) -> Tensor:
        """Take the next n latents, again from the first where they end, to data units."""
        index = (turn * n + torch.arange(n, device=self.z.device)) % len(self.z)
        context = None if self.context is None else self.context[index]
        with tolerance(flow, self.tolerance):
            return flow.decode_map(self.z[index], context)


def prepare_pools(
    flow: Flow, size: int, context: Tensor | None, targets: Sequence[float]
) -> list[Pool] | None:
    """Decode latents in float64, and loosen the flow's own decode as far as each target allows.

    Args:
        flow: a fitted model in eval mode.
        size: how many latents; fewer where the reference takes long.
        context: contexts, ``(N, C)``, taken in turn.
        targets: largest errors allowed.

    Returns:
        For each target the pool at the loosest setting that meets it, or at the tightest if none
        does; None for a user's own flow: where its latents live is not known.
    """
    if isinstance(flow, ForeignFlow):
        return None
    z = flow.base.sample(size, generator=seeded(flow))
    rows = None if context is None else context[torch.arange(size) % len(context)]
    reference = _reference(flow, z, rows)
    z = z[: len(reference)]
    rows = None if rows is None else rows[: len(reference)]

    @cache
    def error_at(setting: float | None) -> float:
        with tolerance(flow, setting):
            decoded = flow.flow.decode_map(z, rows)
        return float(largest_error(reference, decoded.double()).max())

    if not adjustable(flow):
        return [Pool(z, rows, error_at(None), None) for _ in targets]
    settings = [loosest(error_at, target) for target in targets]
    return [Pool(z, rows, error_at(setting), setting) for setting in settings]


def loosest(error_at: Callable[[float], float], target: float) -> float:
    """Return the loosest of `TOLERANCES` whose error meets the target; 0 where none does."""
    if error_at(0.0) > target:
        return 0.0
    # The error falls with the tolerance: halve the interval between what fails and what meets.
    fails, meets = -1, len(TOLERANCES)
    while meets - fails > 1:
        middle = (fails + meets) // 2
        if error_at(TOLERANCES[middle]) <= target:
            meets = middle
        else:
            fails = middle
    return TOLERANCES[meets] if meets < len(TOLERANCES) else 0.0


def _reference(flow: Flow, z: Tensor, context: Tensor | None) -> Tensor:
    """Decode as many latents as time allows in float64, to flow coordinates."""
    exact = deepcopy(flow).double()
    for layer in adjustable(exact):
        layer.max_iterations = max(layer.max_iterations, REFERENCE_ITERATIONS)
    decoded: list[Tensor] = []
    began = time.monotonic()
    with tolerance(exact, 0.0):
        for start in range(0, len(z), CHUNK):
            part = slice(start, start + CHUNK)
            rows = None if context is None else context[part].double()
            decoded.append(exact.flow.decode_map(z[part].double(), rows))
            if time.monotonic() - began > REFERENCE_SECONDS:
                break
    return torch.cat(decoded)


def adjustable(flow: Flow) -> list[ResidualBlock]:
    """Return the layers that stop at a tolerance; scalar equations are solved to round-off."""
    return [layer for layer in flow.bijections() if isinstance(layer, ResidualBlock)]


@contextmanager
def tolerance(flow: Flow, value: float | None) -> Iterator[None]:
    """Set the tolerance of the iterative layers for a while; None leaves it."""
    layers = adjustable(flow) if value is not None else []
    before = [layer.tolerance for layer in layers]
    for layer in layers:
        layer.tolerance = float(value or 0.0)
    try:
        yield
    finally:
        for layer, kept in zip(layers, before, strict=True):
            layer.tolerance = kept
