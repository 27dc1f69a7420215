"""What the adapters share: another library's flow, called as FlowBench calls a user's own."""

from math import prod

import torch
from torch import Tensor, nn

from flowbench.spec.vocabulary import InverseLabel, LogDetLabel


class AdaptedFlow(nn.Module):
    """A flow of another library, with its base distribution.

    A subclass says how its library scores, draws and maps. Whoever wraps a flow whose inverse is
    searched for, or whose log-det is estimated, says so by `inverse_label = "iterative"` and
    `log_det_label = "estimate"`.

    Args:
        flow: the library's.
        event_shape: of the data: ``(D,)`` or ``(C, H, W)``.
        shape: of the events that the flow was written for; None for `event_shape`.
        latent_shape: of the flow's own latents; None for `shape`.
    """

    log_det_label: LogDetLabel = "exact"
    inverse_label: InverseLabel = "analytic"

    def __init__(
        self,
        flow: nn.Module,
        event_shape: tuple[int, ...],
        *,
        shape: tuple[int, ...] | None = None,
        latent_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.flow = flow
        self.event_shape = tuple(event_shape)
        self.shape = shape or self.event_shape
        self.latent_shape = latent_shape or self.shape

    def density(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the library's log-density at ``(N, *shape)``, in nats, ``(N,)``."""
        raise NotImplementedError

    def draw(self, n: int, context: Tensor | None) -> Tensor:
        """Draw by the library ``(n, *shape)``, one for each row of the context."""
        raise NotImplementedError

    def to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Take ``(N, *shape)`` to ``(N, *latent_shape)``; return the log-det ``(N,)`` too."""
        raise NotImplementedError

    def to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Take ``(N, *latent_shape)`` to ``(N, *shape)``; return the log-det ``(N,)`` too."""
        raise NotImplementedError

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the log-density of ``(N, *event_shape)`` in nats, ``(N,)``."""
        return self.density(x.reshape(len(x), *self.shape), context)

    @torch.no_grad()
    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draw ``(n, *event_shape)``."""
        return self.rsample(n, context)

    def rsample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draw differentiably, where the library does."""
        return self.draw(n, context).reshape(n, *self.event_shape)

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take data to flat latents ``(N, D)`` and the log-det ``(N,)``."""
        z, log_det = self.to_latent(x.reshape(len(x), *self.shape), context)
        return z.reshape(len(x), prod(self.latent_shape)), log_det

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take flat latents ``(N, D)`` to data and the log-det ``(N,)``."""
        x, log_det = self.to_data(z.reshape(len(z), *self.latent_shape), context)
        return x.reshape(len(z), *self.event_shape), log_det

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Show the flow a batch: layers that set themselves from their first one do it here."""
        self.log_prob(x, context)
