"""The race of residual flows, on a trained checkpoint: sampling at equal worst error."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import log
from statistics import median

import torch
from torch import Tensor, nn

from benchmarks.speed.checkpoint import architecture, digits, trained
from benchmarks.speed.contestant import Contestant
from benchmarks.speed.ours import alone
from benchmarks.speed.peers import freia, normflows
from benchmarks.speed.race import interleaved, ratio
from benchmarks.tables import Cell, Table
from flowbench.evaluation.measuring import in_double
from flowbench.families.residual import Residual
from flowbench.networks.contractive import LipSwish
from flowbench.networks.lipschitz import LipschitzLinear

BATCH = 256
WORST = {1e-4: torch.float32, 1e-5: torch.float64}
"""Largest errors of samples, in any coordinate, on all sides, and the precision that reaches them:
float32 rounds to a few 1e-5 through eight inverses."""
BIAS = 1e-4
"""Of the log-density at one probe, in bits/dim."""
POINTS = 10_000
MOST_TERMS = 20
UNREACHED = 400


@dataclass(frozen=True)
class Decoder:
    """An inverse with a setting that trades time for error.

    Attributes:
        decode: takes latents to data.
        settings: from the fastest to the most exact.
        set: applies one.
    """

    decode: Callable[[Tensor], Tensor]
    settings: list[float]
    set: Callable[[float], None]

    def meet(self, z: Tensor, x: Tensor, worst: float) -> float | None:
        """Apply the fastest setting whose largest error is within `worst`; None for none."""
        for setting in self.settings:
            self.set(setting)
            with torch.no_grad():
                error = float((self.decode(z) - x).abs().max())
            if error <= worst:
                return setting
        return None


def residual(quick: bool = False) -> list[Table]:
    """Race training steps, log-densities and samples at each worst error."""
    flow = (architecture(2, 16) if quick else trained()).eval()
    rounds, seconds = (5, 1.0) if quick else (30, 15.0)
    points = digits(64 if quick else POINTS)
    x = points[:BATCH]
    terms, bias, error = enough_terms(flow, points)
    entrants = _entrants(flow, x, terms)
    rows = [*_training(entrants, x, rounds, seconds), *_densities(entrants, x, rounds, seconds)]
    for worst, dtype in WORST.items():
        precise = deepcopy(flow).to(dtype).requires_grad_(False)
        rows += _sampling(precise, x.to(dtype), worst, rounds, seconds)
    columns = ("what", "library", "ratio to networks alone", "ms", "how")
    note = (
        f"Trained checkpoint, batch {len(x)}, in eager mode with plain Adam. Log-densities at one"
        f" probe: FlowBench's with {terms} terms, whose bias over {len(points):,} points is"
        f" {bias:.1e} bits/dim beside the exact log-determinant (its own noise is {error:.1e});"
        " peers' as their libraries evaluate, with 20 terms and more. Samples: the same latents,"
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


def _entrants(flow: Residual, x: Tensor, terms: int) -> list[Contestant]:
    nf, fr = normflows.ResidualPeer(flow), freia.ResidualPeer(flow)
    return [
        _floor(flow, x),
        Contestant("FlowBench", flow, _either(flow, terms), None, flow.after_step),
        Contestant("normflows", nf.flow, nf.flow.log_prob, None, nf.after_step),
        Contestant("FrEIA", fr.flow, fr.log_prob, None, fr.after_step),
    ]


def _floor(flow: Residual, x: Tensor) -> Contestant:
    return alone([_network(block.branch) for block in flow.blocks()], flow._branch_inputs(x))


def _either(flow: Residual, terms: int) -> Callable[[Tensor], Tensor]:
    """Return what a step differentiates in training mode, and one probe's estimate in eval mode."""
    estimate = one_probe(flow, terms)
    return lambda x: flow.log_prob(x) if flow.training else estimate(x)


def _network(branch: nn.Module) -> nn.Sequential:
    """Return a branch's network without bounds on its norm."""
    layers: list[nn.Module] = []
    for each in branch.modules():
        if isinstance(each, LipschitzLinear):
            made = nn.Linear(each.weight.shape[1], each.weight.shape[0])
            with torch.no_grad():
                made.weight.copy_(each.bounded_weight())
                made.bias.copy_(each.bias)
            layers.append(made.to(each.weight.dtype))
        elif isinstance(each, LipSwish):
            layers.append(deepcopy(each))
    return nn.Sequential(*layers)


Row = tuple[Cell, ...]


def _training(entrants: list[Contestant], x: Tensor, rounds: int, seconds: float) -> list[Row]:
    # FrEIA's estimate gives its weights no gradient: there is no step to time.
    calls = {each.name: each.calls(x)["step"] for each in entrants if each.name != "FrEIA"}
    how = {"FlowBench": "roulette, one probe", "normflows": "roulette, one probe"}
    return _raced("training step", calls, how, rounds, seconds)


def _densities(entrants: list[Contestant], x: Tensor, rounds: int, seconds: float) -> list[Row]:
    calls = {each.name: each.calls(x)["log_prob"] for each in entrants}
    how = {
        "FlowBench": "one probe",
        "normflows": "one probe, roulette after 20 terms",
        "FrEIA": "one probe, 20 terms",
    }
    return _raced("log-density", calls, how, rounds, seconds)


def _sampling(flow: Residual, x: Tensor, worst: float, rounds: int, seconds: float) -> list[Row]:
    with torch.no_grad():
        z = flow.encode(x)[0]
        truth = in_double(flow).decode_map(z.double())
    floor = _floor(flow, x)
    nf, fr = normflows.ResidualPeer(flow), freia.ResidualPeer(flow)
    tolerances = [10 ** (-k / 8) for k in range(8, 128)]
    decoders = {
        "FlowBench": Decoder(flow.decode_map, tolerances, lambda v: _tolerate(flow, v)),
        "normflows": Decoder(nf.decode, tolerances, lambda v: setattr(nf, "tolerance", v)),
        "FrEIA": Decoder(fr.decode, [float(k) for k in range(1, UNREACHED)],
                         lambda v: fr.set_iterations(int(v))),
    }  # fmt: skip
    assert floor.sample is not None
    calls: dict[str, Callable[[], object]] = {floor.name: floor.calls(x)["sample"]}
    how: dict[str, str] = {}
    for name, decoder in decoders.items():
        setting = decoder.meet(z, truth, worst)
        if setting is None:
            how[name] = "not reached"
            continue
        calls[name] = torch.no_grad()(lambda decoder=decoder: decoder.decode(z))
        how[name] = f"{setting:g} evaluations" if name == "FrEIA" else f"tolerance {setting:.1e}"
    counts = torch.cat([block.convergence.iterations for block in flow.blocks()
                        if block.convergence is not None]).float()  # fmt: skip
    how["FlowBench"] += f", {counts.mean():.1f} evaluations a block, {counts.max():.0f} at most"
    what = f"sample, worst error {worst:g}"
    missed: list[Row] = [(what, name, None, None, how[name]) for name in how if name not in calls]
    return _raced(what, calls, how, rounds, seconds) + missed


def _tolerate(flow: Residual, tolerance: float) -> None:
    for block in flow.blocks():
        block.tolerance = tolerance


def _raced(
    what: str,
    calls: dict[str, Callable[[], object]],
    how: dict[str, str],
    rounds: int,
    seconds: float,
) -> list[Row]:
    taken = interleaved(calls, rounds=rounds, seconds=seconds)
    base = next(iter(taken.values()))
    return [
        (what, name, str(ratio(times, base)), 1e3 * median(times), how.get(name, ""))
        for name, times in taken.items()
    ]
