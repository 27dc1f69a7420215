"""What a training step takes longer where activations are computed again instead of kept."""

from collections.abc import Callable
from copy import deepcopy
from statistics import median

import torch
from torch.optim import AdamW

from benchmarks.speed.architectures import Architecture, glow, planar, realnvp
from benchmarks.speed.contestant import LEARNING_RATE
from benchmarks.speed.race import interleaved, ratio
from benchmarks.tables import Cell, Table
from flowbench.bijections.reversible import Reconstruction
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
        calls = {"stored": _step(flow, x), "again": _step(again, x, reconstruction)}
        taken = interleaved(calls, rounds=5 if quick else 60, seconds=1.0 if quick else 15.0)
        milliseconds = [1e3 * median(times) for times in taken.values()]
        assert reconstruction.error is not None
        error = f"{float(reconstruction.error):.1e}"
        rows.append(
            (architecture.title, str(ratio(taken["again"], taken["stored"])), *milliseconds, error)
        )
    columns = ("work", "reversible / stored", "stored, ms", "reversible, ms", "input's error")
    note = (
        "A whole step with fused AdamW, eager. Error: of the batch, found again from its latents,"
        " relative to its largest element."
    )
    return Table("reversible_step", "Step with activations computed again", columns, rows, note)


def _step(
    flow: Flow, x: torch.Tensor, reconstruction: Reconstruction | None = None
) -> Callable[[], None]:
    flow.train()
    optimiser = AdamW(flow.parameters(), lr=LEARNING_RATE, fused=True)

    def step() -> None:
        if reconstruction is not None:
            reconstruction.clear()
        optimiser.zero_grad()
        (-flow(x).mean()).backward()
        optimiser.step()
        flow.after_step()

    return step
