"""A flow's sampler at a stated error: what is timed, and whose memory and FLOPs are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from flowbench.evaluation.matched import Pool, prepare_pools
from flowbench.evaluation.measuring import place, seeded
from flowbench.families.flow import Flow
from flowbench.spec.vocabulary import Protocol

TARGET_ERROR = 1e-4
"""The worst error that samplers are compared at; the full protocol adds tighter ones."""
LOOSER_ERROR = 1e-3
"""Where float32 rounds to more than the target, as on large images, the next that is stated."""
TIGHTER = {torch.float32: (1e-5,), torch.float64: (1e-5, 1e-6)}


@dataclass(frozen=True)
class Sampler:
    """A flow that samples within an error.

    Attributes:
        flow: a fitted model.
        context: for a conditional flow contexts to sample at, ``(N, C)``, taken in turn.
        target: the largest error allowed.
        pool: latents whose error is known; None for a user's own flow.
    """

    flow: Flow
    context: Tensor | None
    target: float
    pool: Pool | None

    @property
    def iterative(self) -> bool:
        return self.flow.inverse_label == "iterative"

    @property
    def ending(self) -> str:
        """What the names of its speeds end in: an iterative sampler's state its error."""
        return f"_at_{_words(self.target)}" if self.iterative and self.pool is not None else ""

    @property
    def compared(self) -> bool:
        """Whether it is the one that families are compared by, and not a tighter one."""
        return self.target >= TARGET_ERROR

    @property
    def meets(self) -> bool:
        """Whether its error is within the target, as far as that is known."""
        return not self.iterative or self.pool is None or self.pool.error <= self.target

    def batch(self, n: int) -> Callable[[], Tensor]:
        """Return a call that samples a batch of n.

        An iterative sampler decodes latents of the pool, in turn: those whose error is known. It
        draws fresh noise as well, so that the time of drawing counts.
        """
        flow, context, pool = self.flow, self.context, self.pool
        generator = seeded(flow)
        if pool is None or not self.iterative:
            rows = None if context is None else context[torch.arange(n) % len(context)]
            return lambda: flow.sample(n, rows, generator=generator)
        turn = count()

        def decode() -> Tensor:
            flow.base.sample(n, generator=generator)
            return pool.decode(flow, n, next(turn))

        return decode


def prepare_samplers(
    flow: Flow, size: int, context: Tensor | None, protocol: Protocol
) -> list[Sampler]:
    """Return a flow's sampler at each error that the protocol asks for, the loosest first.

    Only an iterative sampler has more than one.

    Args:
        flow: a fitted model in eval mode.
        size: the largest batch.
        context: see `Sampler`.
        protocol: quick or full.
    """
    tighter = TIGHTER.get(place(flow)[1], ()) if protocol == "full" else ()
    targets = [TARGET_ERROR]
    if flow.inverse_label == "iterative":
        targets += [LOOSER_ERROR, *tighter]
    pools = prepare_pools(flow, size, context, targets)
    if pools is None:
        return [Sampler(flow, context, TARGET_ERROR, None)]
    samplers = [Sampler(flow, context, t, pool) for t, pool in zip(targets, pools, strict=True)]
    first, *others = samplers
    if not others:
        return samplers
    looser, *tightest = others
    return [looser if looser.meets and not first.meets else first, *tightest]


def _words(error: float) -> str:
    return f"{error:.0e}".replace("e-0", "e-")
