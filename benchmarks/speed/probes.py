"""What probes cost and what they buy: the log-determinant's standard error."""

from math import log
from statistics import median

import torch
from torch import Tensor

from benchmarks.speed.checkpoint import architecture, digits, trained
from benchmarks.speed.race import interleaved
from benchmarks.tables import Cell, Table
from flowbench.families.residual import Residual
from flowbench.numerics.series import log_det_series, truncated_coefficients

COUNTS = (1, 2, 4, 8, 16)
TERMS = 10
POINTS = 10_000
DRAWN = 128
"""Over whose mean the last column is."""


def probes(quick: bool = False) -> Table:
    """Estimate the trained flow's log-determinant, all blocks, at each number of probes."""
    flow = (architecture(2, 16) if quick else trained()).eval()
    inputs = [x for x, _ in _blocks(flow, digits(32 if quick else 256))]
    products = [block.branch.linearise(x)[1]
                for block, x in zip(flow.blocks(), inputs, strict=True)]  # fmt: skip
    coefficients = truncated_coefficients(TERMS)

    @torch.no_grad()
    def estimates(count: int) -> Tensor:
        """Return ``(count, N)``."""
        total = torch.zeros(count, len(inputs[0]))
        for product, x in zip(products, inputs, strict=True):
            noise = torch.randint(2, (count, *x.shape)).mul(2).sub(1).to(x)
            total += log_det_series(product, noise, coefficients, differentiable=False)
        return total

    torch.manual_seed(0)
    drawn = torch.cat([estimates(16) for _ in range(DRAWN // 16)]) / (flow.dim * log(2))
    calls = {count: lambda count=count: estimates(count) for count in COUNTS}
    taken = interleaved(calls, rounds=5 if quick else 15, seconds=10.0)
    rows: list[tuple[Cell, ...]] = []
    for count in COUNTS:
        means = drawn.reshape(-1, count, drawn.shape[1]).mean(1)
        error = float(means.std(0).square().mean().sqrt())
        rows.append(
            (float(count), 1e6 * median(taken[count]) / len(inputs[0]), error, error / POINTS**0.5)
        )
    columns = ("probes", "a point, us", "s.e. at a point, bits/dim", f"of a mean over {POINTS:,}")
    note = (
        f"Trained residual flow of {len(inputs)} blocks, {TERMS} terms of the series; the spread of"
        f" the means of so many probes, of {DRAWN} in all. `family.probes` sets their number."
    )
    return Table("probes", "Probes of the log-determinant", columns, rows, note)


@torch.no_grad()
def _blocks(flow: Residual, x: Tensor) -> list[tuple[Tensor, None]]:
    return [(given, None) for given in flow._branch_inputs(x)]
