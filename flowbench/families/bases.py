"""Base distributions: where the latent lives."""

from math import log, pi

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid


class Base(nn.Module):
    """A distribution over flat latents ``(N, D)`` with independent coordinates.

    `temperature` scales the samples' spread (1 is the distribution itself).
    """

    anchor: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        # Has no value of interest: it carries the dtype and device that samples are drawn in.
        self.register_buffer("anchor", torch.zeros(()), persistent=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density in nats, ``(N,)``."""
        raise NotImplementedError

    def rsample(
        self, n: int, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw ``(n, D)``; no base has parameters, so this is `sample` under another name."""
        return self.sample(n, temperature, generator)

    def sample(
        self, n: int, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw ``(n, D)``."""
        raise NotImplementedError


class NormalBase(Base):
    """The standard normal."""

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (z.square().sum(1) + self.dim * log(2 * pi))

    def sample(
        self, n: int, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        anchor = self.anchor
        noise = torch.randn(
            n, self.dim, generator=generator, dtype=anchor.dtype, device=anchor.device
        )
        return noise if temperature == 1.0 else temperature * noise


class LogisticBase(Base):
    """The standard logistic, as in NICE (Dinh et al. 2014, section 3.4); its variance is pi^2/3."""

    def log_prob(self, z: Tensor) -> Tensor:
        # torch's softplus drops exp(-z) above 20; its logsigmoid does not.
        return (logsigmoid(z) + logsigmoid(-z)).sum(1)

    def sample(
        self, n: int, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        anchor = self.anchor
        uniform = torch.rand(
            n, self.dim, generator=generator, dtype=anchor.dtype, device=anchor.device
        )
        # An exact zero has no logit; float32 draws one about once in 2^24.
        return temperature * torch.logit(uniform, eps=torch.finfo(anchor.dtype).tiny)
