"""When training has failed for good."""

from math import inf, isfinite

EXPLOSION = 50.0
"""Nats per dimension above the best epoch's loss: 72 bits/dim, which no recovery explains."""


class Diverged(RuntimeError):
    """The loss is not finite, or far above where it was; the last good checkpoint is kept."""


class DivergenceWatch:
    """Raises `Diverged` on losses that will not come back.

    Every rank is given the same reduced values and so raises at the same step.

    Attributes:
        best: the lowest mean loss of an epoch so far, in nats per dimension.
    """

    def __init__(self) -> None:
        self.best = inf

    def gradient(self, norm: float, epoch: int, step: int) -> None:
        """Look at the norm of the whole gradient, which is that of all ranks together."""
        if not isfinite(norm):
            raise Diverged(f"the gradient is not finite at epoch {epoch}, step {step}")

    def epoch(self, loss: float, epoch: int, step: int) -> None:
        """Look at an epoch's mean loss, in nats per dimension."""
        if not isfinite(loss):
            raise Diverged(f"the loss is not finite at epoch {epoch}, step {step}")
        if loss > self.best + EXPLOSION:
            raise Diverged(
                f"the loss rose from {self.best:.3g} to {loss:.3g} nats per dimension "
                f"at epoch {epoch}, step {step}"
            )
        self.best = min(self.best, loss)
