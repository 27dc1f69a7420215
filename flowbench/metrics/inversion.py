"""How far a flow is from inverting itself: the largest coordinate error of each sample."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


def largest_error(original: Tensor, recovered: Tensor) -> Tensor:
    """Return each sample's L-infinity distance, ``(N,)``; infinite where it is not a number."""
    error = (recovered - original).abs().flatten(1).amax(1)
    return error.nan_to_num(nan=torch.inf, posinf=torch.inf)


class InversionError(Metric):
    """Quantiles of the per-sample L-infinity error of a round trip, reduced over ranks.

    A round trip that ends in no number has an infinite error, so that the maximum says so.
    """

    full_state_update = False
    errors: list[Tensor]
    unconverged: Tensor

    def __init__(self, *, sync_on_compute: bool = True) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        self.add_state("errors", [], dist_reduce_fx="cat")
        self.add_state("unconverged", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, original: Tensor, recovered: Tensor, unconverged: int = 0) -> None:
        """Add samples.

        Args:
            original: ``(N, ...)``.
            recovered: the same samples after the round trip.
            unconverged: how many of them an iterative inverse gave up on.
        """
        self.errors.append(largest_error(original, recovered).detach())
        self.unconverged += unconverged

    def compute(self) -> dict[str, Tensor]:
        """Return ``max``, ``p99``, ``median``, ``points``, ``unconverged``, ``nonfinite`` (share).

        Quantiles are values that occurred (the next above), so infinities are not interpolated.
        """
        errors = dim_zero_cat(self.errors)
        p99, median = (errors.quantile(q, interpolation="higher") for q in (0.99, 0.5))
        return {
            "max": errors.max(),
            "p99": p99,
            "median": median,
            "points": torch.tensor(len(errors), device=errors.device),
            "nonfinite": errors.isinf().double().mean(),
            "unconverged": self.unconverged,
        }


class ExactShare(Metric):
    """Share of integer samples that come back exactly, reduced over ranks."""

    full_state_update = False
    exact: Tensor
    count: Tensor

    def __init__(self, *, sync_on_compute: bool = True) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        for name in ("exact", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, original: Tensor, recovered: Tensor) -> None:
        """Add integer samples ``(N, ...)`` and what came back of them, floored and clipped."""
        self.exact += (original == recovered).flatten(1).all(1).sum()
        self.count += len(original)

    def compute(self) -> Tensor:
        """Return the share."""
        return self.exact.double() / self.count
