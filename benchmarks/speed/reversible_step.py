"""What a training step takes longer where activations are computed again instead of kept."""

from collections.abc import Callable
from copy import deepcopy
from statistics import median

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torch.optim import AdamW

from benchmarks.speed.architectures import Architecture, glow, planar, realnvp
from benchmarks.speed.contestant import LEARNING_RATE
from benchmarks.speed.race import interleaved, ratio
from benchmarks.tables import Cell, Table
from flowbench.families.flow import Flow
from flowbench.training.reversible import backpropagate_reversibly


def nice(batch: int = 1024) -> Architecture:
    """Additive couplings of the size of RealNVP's."""
    options = {"depth": 8, "hidden": (128, 128)}
    title = f"NICE, D=64, 8 couplings, 2x128 MLP, batch {batch}"
    return Architecture("nice", title, "nice", (64,), batch, options, ())


def reversible_step(quick: bool = False) -> Table:
    """Race a step of each family with its activations kept and computed again."""
    small = [realnvp(16, dim=8, depth=2, width=16)]
    raced = small if quick else [nice(), realnvp(1024), glow(), planar()]
    rows: list[tuple[Cell, ...]] = []
    for architecture in raced:
        flow, x = architecture.flow(), architecture.points()
        again = deepcopy(flow)
        reconstruction = backpropagate_reversibly(again)
        alike = _cosine(flow, again, x)
        calls = {"stored": _step(flow, x), "again": _step(again, x)}
        taken = interleaved(calls, rounds=5 if quick else 60, seconds=1.0 if quick else 15.0)
        milliseconds = [1e3 * median(times) for times in taken.values()]
        assert reconstruction.error is not None
        error, angle = f"{float(reconstruction.error):.1e}", f"{1 - alike:.1e}"
        longer = str(ratio(taken["again"], taken["stored"]))
        rows.append((architecture.title, longer, *milliseconds, error, angle))
    columns = ("work", "reversible / stored", "stored, ms", "reversible, ms", "input's error",
               "1 - cosine of gradients")  # fmt: skip
    note = (
        "A whole step with fused AdamW, eager, float32. Error: the largest of a point found again"
        " from its latent, relative to its largest element. Cosine: of the two gradients of all"
        " parameters at the start."
    )
    return Table("reversible_step", "Step with activations computed again", columns, rows, note)


def _cosine(stored: Flow, again: Flow, x: Tensor) -> float:
    """Return the cosine of two flows' gradients, 1 where they agree."""
    gradients = []
    for flow in (stored, again):
        flow.train()
        flow.zero_grad()
        (-flow(x).mean()).backward()
        known = [p.grad for p in flow.parameters() if p.grad is not None]
        gradients.append(torch.cat([grad.flatten().double() for grad in known]))
    one, other = gradients
    return float(cosine_similarity(one, other, dim=0))


def _step(flow: Flow, x: Tensor) -> Callable[[], None]:
    flow.train()
    optimiser = AdamW(flow.parameters(), lr=LEARNING_RATE, fused=True)

    def step() -> None:
        optimiser.zero_grad()
        (-flow(x).mean()).backward()
        optimiser.step()
        flow.after_step()

    return step
