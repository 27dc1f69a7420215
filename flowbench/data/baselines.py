"""What a flow must beat: a Gaussian and a histogram on the same split, and the true entropy."""

from __future__ import annotations

from collections.abc import Iterable
from math import log, pi

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flowbench.bijections.base import Bijection

BATCH = 2048
"""Rows counted at once."""


class Gaussian:
    """The full-covariance Gaussian fitted by maximum likelihood.

    Args:
        batches: the training data in any coordinates, each ``(n, D)``.
        ridge: added to the covariance's diagonal, relative to its mean; keeps the Cholesky factor
            of nearly dependent columns finite.
    """

    def __init__(self, batches: Iterable[Tensor], ridge: float = 1e-9) -> None:
        count, first, second = 0, torch.zeros(()), torch.zeros(())
        shift: Tensor | None = None
        for batch in batches:
            flat = batch.flatten(1).double()
            # Sums are taken about the first batch's mean: raw second moments cancel badly.
            shift = flat.mean(0) if shift is None else shift
            centred = flat - shift
            count += len(flat)
            first = first + centred.sum(0)
            second = second + centred.T @ centred
        if shift is None:
            raise ValueError("no batch to fit a Gaussian to")
        offset = first / count
        covariance = second / count - torch.outer(offset, offset)
        covariance += ridge * covariance.diagonal().mean() * torch.eye(len(covariance))
        self.mean = shift + offset
        self.factor = torch.linalg.cholesky(covariance)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density of ``(n, D)`` in nats, ``(n,)``, float64."""
        centred = (x.flatten(1).double() - self.mean).T
        whitened = torch.linalg.solve_triangular(self.factor, centred, upper=False)
        log_det = self.factor.diagonal().log().sum()
        return -0.5 * (whitened.square().sum(0) + len(self.mean) * log(2 * pi)) - log_det


class FlowGaussian:
    """A Gaussian fitted in flow coordinates, its density brought back to data units.

    Args:
        batches: the training data in data units.
        preprocess: takes data units to flow coordinates; float64.
    """

    def __init__(self, batches: Iterable[Tensor], preprocess: Bijection) -> None:
        self.preprocess = preprocess
        self.gaussian = Gaussian(preprocess.encode_map(x.double()) for x in batches)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density of data ``(n, *event_shape)`` in nats, ``(n,)``."""
        y, log_det = self.preprocess.encode(x.double())
        return self.gaussian.log_prob(y) + log_det


class Histogram:
    """Independent histograms of integers, one for each pixel.

    One count is added to every level (Laplace), so that a value never seen in training has a
    finite cost.

    Args:
        train: integers, ``(N, *event_shape)``.
        levels: number of values.
    """

    def __init__(self, train: NDArray[np.uint8], levels: int) -> None:
        flat = train.reshape(len(train), -1)
        self.levels, self.dim = levels, flat.shape[1]
        counts = np.zeros(self.dim * levels)
        for start in range(0, len(flat), BATCH):
            counts += np.bincount(self._cells(flat[start : start + BATCH]), minlength=len(counts))
        self.log_p = np.log(counts + 1) - np.log(len(flat) + levels)

    def _cells(self, flat: NDArray[np.uint8]) -> NDArray[np.int64]:
        return (flat.astype(np.int64) + self.levels * np.arange(self.dim)).ravel()

    def mean_log_prob(self, held_out: NDArray[np.uint8]) -> float:
        """Return the mean log-probability of ``(n, *event_shape)`` in nats."""
        flat = held_out.reshape(len(held_out), -1)
        return float(self.log_p[self._cells(flat)].sum() / len(flat))
