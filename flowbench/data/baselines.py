"""What a flow must beat: a Gaussian and a histogram fitted to the same training split."""

from __future__ import annotations

from math import log, pi

import numpy as np
import torch
from torch import Tensor

from flowbench.data.source import Array

RIDGE = 1e-9
"""Added to the diagonal of a correlation matrix: dependent columns keep a Cholesky factor."""


class Gaussian:
    """The full-covariance Gaussian of maximum likelihood, fitted batch by batch.

    With a context it is the conditional Gaussian: the joint one less that of the context.
    """

    def __init__(self) -> None:
        self.joint, self.context = _Moments(), _Moments()

    def add(self, y: Tensor, context: Tensor | None = None) -> None:
        """Take in training events, ``(n, ...)``, with their context, ``(n, C)``."""
        self.joint.add(_joined(y, context))
        if context is not None:
            self.context.add(context)

    def log_prob(self, y: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the log-density of ``(n, ...)`` in nats, ``(n,)``, float64."""
        log_prob = self.joint.log_prob(_joined(y, context))
        if context is not None:
            log_prob -= self.context.log_prob(context)
        return log_prob


class _Moments:
    """Mean and covariance summed up in float64, and their Gaussian."""

    def __init__(self) -> None:
        self.count = 0
        self._factor: Tensor | None = None

    def add(self, y: Tensor) -> None:
        flat = y.flatten(1).double()
        if not self.count:
            # Sums are taken about the first batch's mean: raw second moments cancel badly.
            self.shift = flat.mean(0)
            self.first = torch.zeros_like(self.shift)
            self.second = self.first.new_zeros(len(self.shift), len(self.shift))
        centred = flat - self.shift
        self.count += len(flat)
        self.first += centred.sum(0)
        self.second.addmm_(centred.T, centred)

    def log_prob(self, y: Tensor) -> Tensor:
        if self._factor is None:
            self._factor = self._fit()
        centred = y.flatten(1).double() - self.shift - self.first / self.count
        whitened: Tensor = torch.linalg.solve_triangular(self._factor, centred.T, upper=False)
        log_det = float(self._factor.diagonal().log().sum())
        return -0.5 * (whitened.square().sum(0) + len(self.first) * log(2 * pi)) - log_det

    def _fit(self) -> Tensor:
        """Return the Cholesky factor of the covariance.

        The ridge goes on the correlations, so that the fit is the same in any units.
        """
        mean = self.first / self.count
        covariance = self.second / self.count - torch.outer(mean, mean)
        deviation = covariance.diagonal().clamp_min(torch.finfo(torch.float64).tiny).sqrt()
        correlation = covariance / torch.outer(deviation, deviation)
        correlation += RIDGE * torch.eye(len(mean), dtype=torch.float64)
        factor: Tensor = torch.linalg.cholesky(correlation)
        return deviation[:, None] * factor


def _joined(y: Tensor, context: Tensor | None) -> Tensor:
    return y if context is None else torch.cat((y.flatten(1), context.to(y.dtype)), 1)


class Histogram:
    """Independent histograms of integers, one for each coordinate.

    One count is added to every level (Laplace), so that a value never seen in training has a
    finite cost.

    Args:
        low: smallest value there is.
        levels: number of values from there on.
        event_shape: shape of one event.
    """

    def __init__(self, low: int, levels: int, event_shape: tuple[int, ...]) -> None:
        self.low, self.levels, self.dim = low, levels, int(np.prod(event_shape))
        self.rows = 0
        self.counts = np.zeros(self.dim * levels)

    def add(self, x: Array) -> None:
        """Take in training events of integers, ``(n, *event_shape)``."""
        self.rows += len(x)
        self.counts += np.bincount(self._cells(x).ravel(), minlength=len(self.counts))

    def log_prob(self, x: Array) -> Array:
        """Return the log-probability of ``(n, *event_shape)`` in nats, ``(n,)``."""
        log_p = np.log(self.counts + 1) - log(self.rows + self.levels)
        return np.asarray(log_p[self._cells(x)].sum(1))

    def _cells(self, x: Array) -> Array:
        flat = x.reshape(len(x), -1).astype(np.int64) - self.low
        return np.asarray(flat + self.levels * np.arange(self.dim))
