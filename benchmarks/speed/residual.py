"""The race of residual flows, on a trained checkpoint: steps, log-densities and samples."""

from collections.abc import Callable
from copy import deepcopy
from math import log

import torch
from torch import Tensor

from benchmarks.speed.checkpoint import architecture, digits, trained
from benchmarks.speed.contestant import Contestant
from benchmarks.speed.peers import freia, normflows
from benchmarks.speed.residual_race import floor, raced
from benchmarks.speed.residual_sampling import sampling
from benchmarks.speed.table import Row
from benchmarks.tables import Table
from flowbench.families.residual import Residual

BATCH = 256
WORST = {1e-4: torch.float32, 1e-5: torch.float64}
"""Largest errors of samples, in any coordinate, on all sides, and the precision that reaches them:
float32 rounds to a few 1e-5 through eight inverses."""
BIAS = 1e-4
"""Of the log-density at one probe, in bits/dim."""
POINTS = 10_000
MOST_TERMS = 20


def residual(quick: bool = False) -> list[Table]:
    """Race training steps, log-densities and samples at each worst error."""
    flow = (architecture(2, 16) if quick else trained()).eval()
    rounds, seconds = (5, 1.0) if quick else (30, 15.0)
    points = digits(64 if quick else POINTS)
    x = points[:BATCH]
    terms, bias, error = enough_terms(flow, points)
    rows = [
        *_training(_entrants(flow, x, None), x, rounds, seconds),
        *_densities(_entrants(flow, x, terms), x, f"{terms} terms", rounds, seconds),
        *_densities(_entrants(flow, x, None), x, "as evaluated", rounds, seconds),
    ]
    for worst, dtype in WORST.items():
        precise = deepcopy(flow).to(dtype).requires_grad_(False)
        rows += sampling(precise, x.to(dtype), worst, rounds, seconds)
    columns = ("what", "library", "ratio to networks alone", "ms", "peak, MiB", "how")
    note = (
        f"Trained checkpoint, batch {len(x)}, in eager mode with plain Adam. Log-densities: once"
        f" with {terms} terms at one probe on all sides, whose bias over {len(points):,} points is"
        f" {bias:.1e} bits/dim beside the exact log-determinant (the probe's noise is"
        f" {error:.1e}), and once as each library evaluates. normflows has a fixed number of terms"
        " in training mode alone, where it keeps a graph of them. FrEIA's estimate gives its"
        " weights no gradient: there is no step to time. Samples: the same latents,"
        " without log-determinants, each side at its fastest setting whose largest error, against"
        " float64, is within the stated one (1e-5: all in float64). torchflows is left out: its"
        " inverse does not reach these errors, for it draws its power iterations afresh at each"
        " call."
    )
    return [Table("residual", "Residual flow, D=64, 8 blocks, 2x128 MLP, c=0.9", columns, rows,
                  note)]  # fmt: skip


def enough_terms(flow: Residual, points: Tensor) -> tuple[int, float, float]:
    """Return how few terms have so small a bias, the bias, and one probe's standard error.

    The bias is that of the exact traces, which have no noise; both are of the mean log-density.
    """
    units = len(points) * flow.dim * log(2)
    exact = _total(flow, points, None)
    terms, bias = MOST_TERMS, float("inf")
    for terms in range(1, MOST_TERMS + 1):
        bias = abs(_total(flow, points, terms).sum().item() - exact.sum().item()) / units
        if bias <= BIAS:
            break
    with torch.no_grad():
        flow.eval()
        noisy = one_probe(flow, terms)(points)
    difference = (noisy - exact) / (flow.dim * log(2))
    flow.eval()
    return terms, bias, float(difference.std()) / len(points) ** 0.5


def one_probe(flow: Residual, terms: int) -> Callable[[Tensor], Tensor]:
    """Return the log-density by so many terms at one probe, as training estimates it."""

    def log_prob(x: Tensor) -> Tensor:
        for block in flow.blocks():
            block.method, block.terms = "series", terms
            block.training = True
        try:
            return flow.log_prob(x)
        finally:
            for block in flow.blocks():
                block.method, block.terms, block.training = "roulette", 2, False

    return log_prob


@torch.no_grad()
def _total(flow: Residual, points: Tensor, terms: int | None) -> Tensor:
    """Return log-densities by exact traces of so many terms, or exactly, ``(N,)``."""
    for block in flow.blocks():
        block.method, block.terms = ("exact", 2) if terms is None else ("series", terms)
    found = torch.cat([flow.log_prob(batch) for batch in points.split(BATCH)])
    for block in flow.blocks():
        block.method, block.terms = "roulette", 2
    return found


def _entrants(flow: Residual, x: Tensor, terms: int | None) -> list[Contestant]:
    """Return who takes part, with so many terms at one probe; None for what each has by itself."""
    nf, fr = normflows.ResidualPeer(flow), freia.ResidualPeer(flow)
    ours: Callable[[Tensor], Tensor] = flow.log_prob
    if terms is not None:
        ours = one_probe(flow, terms)
        nf.truncate(terms)
        fr.truncate(terms)
    return [
        floor(flow, x),
        Contestant("FlowBench", flow, ours, None, flow.after_step),
        Contestant("normflows", nf.flow, nf.flow.log_prob, None, nf.after_step),
        Contestant("FrEIA", fr.flow, fr.log_prob, None, fr.after_step),
    ]


def _training(entrants: list[Contestant], x: Tensor, rounds: int, seconds: float) -> list[Row]:
    calls = {each.name: each.calls(x)["step"] for each in entrants if each.name != "FrEIA"}
    how = {"FlowBench": "roulette, one probe", "normflows": "roulette, one probe"}
    return raced("training step", calls, how, rounds, seconds, peaks=True)


def _densities(
    entrants: list[Contestant], x: Tensor, terms: str, rounds: int, seconds: float
) -> list[Row]:
    calls = {each.name: each.calls(x)["log_prob"] for each in entrants}
    how = {
        "FlowBench": "the whole Jacobian, exact",
        "normflows": "one probe, roulette after 20 terms",
        "FrEIA": "one probe, 20 terms",
    }
    if terms != "as evaluated":
        how = dict.fromkeys(how, f"one probe, {terms}")
    return raced(f"log-density, {terms}", calls, how, rounds, seconds)
