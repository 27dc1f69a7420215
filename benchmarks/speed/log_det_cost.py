"""What a log-determinant alone costs against the dimension D, and the exponents of that."""

from collections.abc import Callable
from math import log
from statistics import median

import torch
from torch import Tensor

from benchmarks.speed.race import interleaved
from benchmarks.tables import Cell, Table
from flowbench.networks.contractive import contractive_mlp
from flowbench.numerics.determinant import log_det_residual
from flowbench.numerics.series import log_det_series, truncated_coefficients

DIMENSIONS = (16, 64, 256, 1024, 2048, 4096, 16_384, 65_536)
MOST_IN_FULL = 4096
"""Beyond it a determinant takes minutes; the other ways' growth shows only there, for up to it they
cost little but their calls."""
POINTS = 4
RANK, TERMS, WIDTH = 32, 10, 128

CLAIMED = {
    "full determinant": "D^3",
    "lemma of rank 32": "M^3 + M^2 D",
    "series of 10 terms": "K D",
}


def log_det_cost(quick: bool = False) -> Table:
    """Time the three ways on the same number of points; each is given what it works on."""
    rows: list[tuple[Cell, ...]] = []
    for dim in DIMENSIONS[:2] if quick else DIMENSIONS:
        taken = interleaved(_ways(dim), rounds=5 if quick else 15, seconds=4.0)
        times = (1e3 * median(taken[way]) if way in taken else None for way in CLAIMED)
        rows.append((float(dim), *times))
    columns = ("D", *(f"{way}, ms" for way in CLAIMED))
    note = (
        f"Of {POINTS} points, without gradients. The determinant is of given Jacobians; the lemma"
        f" forms its M x M matrix of given factors, M = {RANK} (or D); the series takes products"
        f" with the Jacobian of a branch of two layers of {WIDTH}, at one probe, and one more, as"
        " for a gradient."
    )
    return Table("log_det", "The log-determinant alone", columns, rows, note)


def exponents(table: Table) -> Table:
    """Fit log t = a log D + b to the three largest D, where what grows fastest is the most."""
    rows: list[tuple[Cell, ...]] = []
    for way, claimed in CLAIMED.items():
        column = table.columns.index(f"{way}, ms")
        known = [(float(row[0] or 0), float(row[column] or 0)) for row in table.rows if row[column]]
        rows.append((way, f"O({claimed})", slope(known[-3:])))
    columns = ("way", "claimed", "exponent of D, fitted")
    return Table("log_det_exponents", "Growth with D", columns, rows)


def slope(points: list[tuple[float, float]]) -> float:
    """Return the least-squares slope of log y against log x."""
    xs = torch.tensor([log(x) for x, _ in points], dtype=torch.float64)
    ys = torch.tensor([log(y) for _, y in points], dtype=torch.float64)
    xs = xs - xs.mean()
    return float((xs * ys).sum() / xs.square().sum())


def _ways(dim: int) -> dict[str, Callable[[], Tensor]]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    rank = min(RANK, dim)
    V, W = normal(dim, rank) / dim**0.5, normal(dim, rank) / dim**0.5
    slopes = torch.rand(POINTS, rank, generator=generator)
    branch = contractive_mlp(dim, (WIDTH, WIDTH), 0.9, "lipswish")
    with torch.no_grad():
        product = branch.linearise(normal(POINTS, dim))[1]
    probe = normal(1, POINTS, dim).sign()
    coefficients = truncated_coefficients(TERMS)

    def lemma() -> Tensor:
        return log_det_residual(slopes[:, :, None] * (0.1 * W.T @ V))

    @torch.no_grad()
    def series() -> Tensor:
        return log_det_series(product, probe, coefficients, differentiable=True)

    full, *rest = CLAIMED
    calls: dict[str, Callable[[], Tensor]] = dict(zip(rest, (lemma, series), strict=True))
    if dim <= MOST_IN_FULL:
        jacobians = 0.5 * normal(POINTS, dim, dim) / dim**0.5
        calls[full] = lambda: log_det_residual(jacobians)
    return calls
