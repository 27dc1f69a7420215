"""Bits per dimension: the mean of -log2 p / D over held-out points, with its standard error."""

from math import log

import torch
from torch import Tensor
from torchmetrics import Metric


class BitsPerDim(Metric):
    r"""Mean log-likelihood and bits per dimension of the points seen, reduced over ranks.

    .. math:: \mathrm{bits/dim} = -\frac{1}{D \ln 2} \cdot \frac{1}{N} \sum_n \log p(x_n)

    Sums are kept in float64 whatever the model's precision. A value that is not finite is counted
    and never dropped: it makes the mean itself not finite.

    Args:
        dim: number of elements D of an event.
        sync_on_compute: False where the other ranks do not take part.
    """

    full_state_update = False
    total: Tensor
    squares: Tensor
    count: Tensor
    nonfinite: Tensor

    def __init__(self, dim: int, *, sync_on_compute: bool = True) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        self.dim = dim
        for name, dtype in (
            ("total", torch.float64),
            ("squares", torch.float64),
            ("count", torch.int64),
            ("nonfinite", torch.int64),
        ):
            self.add_state(name, torch.zeros((), dtype=dtype), dist_reduce_fx="sum")

    def update(self, log_prob: Tensor) -> None:
        """Add points.

        Args:
            log_prob: log-densities in nats, ``(N,)``.
        """
        values = log_prob.detach().to(torch.float64)
        self.total += values.sum()
        self.squares += values.square().sum()
        self.count += values.numel()
        self.nonfinite += (~values.isfinite()).sum()

    def bits(self, nats: float) -> float:
        """Return a log-density in nats as bits per dimension."""
        return -nats / (self.dim * log(2))

    def compute(self) -> dict[str, Tensor]:
        """Return ``nats`` (mean log-density), ``bits_per_dim``, their ``_se``, and the counts.

        The standard error is that of a mean over independent points, NaN below two points.
        """
        mean = self.total / self.count
        # The rounding of equal values may leave a negative variance of size 1e-16.
        variance = (self.squares / self.count - mean.square()).clamp_min(0)
        error = (variance / (self.count - 1)).sqrt()
        bits = self.dim * log(2)
        return {
            "nats": mean,
            "nats_se": error,
            "bits_per_dim": -mean / bits,
            "bits_per_dim_se": error / bits,
            "count": self.count,
            "nonfinite": self.nonfinite,
        }
