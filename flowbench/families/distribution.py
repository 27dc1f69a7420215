"""A flow as a torch.distributions Distribution."""

from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints


class Density(Protocol):
    """What of a flow a distribution needs."""

    event_shape: tuple[int, ...]

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the log-density in nats, ``(N,)``."""

    def rsample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draw ``(n, *event_shape)``, differentiably."""


class FlowDistribution(Distribution):
    """The density of `flow` at one context ``(C,)`` (or none); event shape is the flow's."""

    arg_constraints = {}  # noqa: RUF012 - torch.distributions declares it so
    has_rsample = True

    def __init__(self, flow: Density, context: Tensor | None = None) -> None:
        super().__init__(event_shape=torch.Size(flow.event_shape), validate_args=False)
        self.flow = flow
        self.context = context

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.real, len(self.event_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of ``(*batch, *event_shape)`` as ``(*batch,)``."""
        batch = value.shape[: value.dim() - len(self.event_shape)]
        rows = value.reshape(-1, *self.event_shape)
        return self.flow.log_prob(rows, self.context).reshape(batch)

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:  # type: ignore[override]
        """Draw ``(*sample_shape, *event_shape)``, differentiably in the flow's parameters."""
        shape = torch.Size(sample_shape or ())
        return self.flow.rsample(shape.numel(), self.context).reshape(*shape, *self.event_shape)

    def sample(self, sample_shape: torch.Size | None = None) -> Tensor:  # type: ignore[override]
        """Draw as `rsample`, without gradients."""
        with torch.no_grad():
            return self.rsample(sample_shape)
