"""Moments of a batch that is shared out over ranks."""

import torch
import torch.distributed as dist
from torch import Tensor


def feature_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each feature over the batch of all ranks.

    Deviations are taken from the mean of all ranks, so that features far from zero lose no
    digits. Sums run in float64. Every rank must call it, in the same order.

    Args:
        x: this rank's share, ``(N, F)`` or ``(N, F, H, W)``; F is the feature axis.

    Returns:
        Two tensors ``(F,)`` in the dtype of `x`; the deviation is the biased one, 0 for one row.
    """
    rows = x.detach().transpose(0, 1).flatten(1).double()
    count = rows.new_full((1,), rows.shape[1])
    total = _over_ranks(torch.cat((rows.sum(1), count)))
    mean, n = total[:-1] / total[-1], total[-1]
    variance = _over_ranks((rows - mean[:, None]).square().sum(1)) / n
    return mean.to(x.dtype), variance.sqrt().to(x.dtype)


def _over_ranks(total: Tensor) -> Tensor:
    """Add up over ranks, where there are any."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
    return total
