"""Anderson acceleration beside plain iteration, at equal certified error."""

from functools import partial
from math import ceil, log
from statistics import median

import torch
from torch import Tensor

from benchmarks.speed.checkpoint import architecture, digits, trained
from benchmarks.speed.race import interleaved
from benchmarks.tables import Cell, Table
from flowbench.networks.contractive import Contractive, contractive_mlp
from flowbench.networks.lipschitz import SpectralLayer
from flowbench.numerics.fixed_point import MEMORY, solve_residual

LIPSCHITZ = (0.5, 0.7, 0.9, 0.97, 0.99)
TOLERANCE = 1e-5
"""Certified, relative to the size of x."""
MEMORIES = {"plain": 0, f"Anderson({MEMORY})": MEMORY}
MOST = 5000


def fixed_points(quick: bool = False) -> Table:
    """Invert the trained flow's last block, its weights stretched to each bound L."""
    source = architecture(1, 16) if quick else trained()
    x = digits(16 if quick else 256).double()
    rows: list[tuple[Cell, ...]] = []
    for lipschitz in LIPSCHITZ[:2] if quick else LIPSCHITZ:
        branch = stretched(list(source.blocks())[-1].branch, lipschitz)
        with torch.no_grad():
            rows += _compared(branch.double(), x, lipschitz, rounds=5 if quick else 15)
    columns = ("L", "method", "iterations, mean", "most", "most a priori", "a batch, ms",
               "certified", "largest error")  # fmt: skip
    note = (
        "The last block of the trained checkpoint, whose plain iteration is slowest, each linear"
        " map stretched to its share of L;"
        f" {len(x)} points in float64 (float32 rounds to more than that at L = 0.9 and above);"
        f" certified by L/(1-L) |x_k - x_(k-1)| to a relative error of {TOLERANCE:g}: the largest"
        " that was certified, and made. A priori: the least k with L^k/(1-L) |x_1 - x_0| within"
        " that."
    )
    return Table("fixed_points", "Acceleration of fixed points", columns, rows, note)


def stretched(branch: torch.nn.Module, lipschitz: float) -> Contractive:
    """Return a branch of bound L whose linear maps all have the norm that L allows them."""
    layers = [each for each in branch.modules() if isinstance(each, SpectralLayer)]
    hidden = tuple(len(layer.weight) for layer in layers[:-1])
    made = contractive_mlp(len(layers[-1].weight), hidden, lipschitz, "lipswish").eval()
    made.load_state_dict(branch.state_dict())
    stretch(made)
    return made


@torch.no_grad()
def stretch(branch: torch.nn.Module) -> None:
    """Scale the linear maps of a branch in eval mode to the norm that its bound allows them."""
    for layer in branch.modules():
        if isinstance(layer, SpectralLayer):
            layer.weight.mul_(layer.lipschitz / layer.norm)
    branch.train().eval()  # which measures the norms again


def _compared(
    branch: Contractive, x: Tensor, lipschitz: float, rounds: int
) -> list[tuple[Cell, ...]]:
    y = x + branch(x)
    solve = partial(
        solve_residual, branch.frozen(), y, lipschitz, tolerance=TOLERANCE, max_iterations=MOST
    )
    calls = {name: partial(solve, memory=memory) for name, memory in MEMORIES.items()}
    taken = interleaved(calls, rounds=rounds, seconds=10.0)
    first_step = branch(y).norm(dim=1)
    asked = TOLERANCE * (1 - lipschitz) * x.norm(dim=1) / first_step
    prior = ceil(log(float(asked.min())) / log(lipschitz))
    found: list[tuple[Cell, ...]] = []
    for name, call in calls.items():
        solved, report = call()
        certified = float((report.error / solved.norm(dim=1)).max())
        assert report.unconverged == 0
        assert certified <= 1.001 * TOLERANCE
        counts = report.iterations.float()
        error = float(((solved - x).norm(dim=1) / x.norm(dim=1)).max())
        found.append(
            (f"{lipschitz}", name, float(counts.mean()), float(counts.max()), float(prior),
             1e3 * median(taken[name]), f"{certified:.1e}", f"{error:.1e}")
        )  # fmt: skip
    return found
