"""Whether the density is one, and samples are of it."""

from collections.abc import Callable

import torch
from torch import Tensor

from flowbench.conformance.case import Case, condition
from flowbench.conformance.result import Finding, not_checked, worst
from flowbench.conformance.roundtrip import LOG_DET_TOLERANCE

INTEGRAL_TOLERANCE = 1e-3

GRIDS = (200, 400, 800, 1600, 3200)
"""Points a side, tried until two in a row agree."""

SAMPLES = 2**14
MARGIN = 1.3
"""By how much the grid exceeds the samples' range: the base's tails fall off exponentially."""


def samples_agree(case: Case) -> Finding:
    """`sample_and_log_prob` returns the `log_prob` of its samples."""
    torch.manual_seed(0)
    count = len(case.z)
    with torch.no_grad():
        x, said = case.model.sample_and_log_prob(count, case.context)  # type: ignore[operator]
        found = case.log_prob(x)
    size = found.abs().clamp(min=1)
    if not case.can_encode:
        return worst((said - found).abs(), 1e-6 * size)
    well = case.well(condition(case.encode_jacobian(x, case.context)))
    return worst((said - found).abs()[well], (LOG_DET_TOLERANCE * size)[well])


def integral(case: Case) -> Finding | None:
    """A two-dimensional density integrates to one on a grid.

    The grid is laid along the samples' principal axes, and refined until that no longer changes
    the sum by a quarter of the tolerance.
    """
    if case.dim != 2:
        return None
    torch.manual_seed(0)
    shape = case.subject.event_shape
    context = None if case.context is None else case.context[0]
    with torch.no_grad():
        x = case.model.sample(SAMPLES, context).flatten(1)  # type: ignore[operator]
        if not x.isfinite().all():
            return Finding(torch.nan, INTEGRAL_TOLERANCE, "samples are not finite")
        axes = torch.linalg.cholesky(x.T.cov())
        whitened = torch.linalg.solve_triangular(axes, (x - x.mean(0)).T, upper=False).T
        half = MARGIN * whitened.abs().amax(0)

        def density(grid: Tensor) -> Tensor:
            rows = (grid @ axes.T + x.mean(0)).reshape(-1, *shape)
            given = None if context is None else context.expand(len(rows), -1)
            return case.model.log_prob(rows, given).exp()  # type: ignore[operator, no-any-return]

        sums = []
        for points in GRIDS:
            sums.append(_sum_over_grid(density, half, points) * float(axes.diagonal().prod()))
            if len(sums) > 1 and abs(sums[-1] - sums[-2]) < INTEGRAL_TOLERANCE / 4:
                return Finding(abs(sums[-1] - 1), INTEGRAL_TOLERANCE)
    if not all(map(torch.isfinite, torch.tensor(sums))):
        return Finding(torch.nan, INTEGRAL_TOLERANCE, "the density is not finite")
    return not_checked(f"a grid of {GRIDS[-1]} x {GRIDS[-1]} does not resolve the density")


def _sum_over_grid(density: Callable[[Tensor], Tensor], half: Tensor, points: int) -> float:
    """Return the midpoint rule's sum over a box centred at 0, of half-widths ``(2,)``."""
    step = 2 * half / points
    first, second = ((torch.arange(points) + 0.5).to(half)[:, None] * step - half).T
    total = 0.0
    for rows in first.split(max(1, 2**16 // points)):
        total += float(density(torch.cartesian_prod(rows, second)).sum())
    return total * float(step.prod())
