"""Time and iterations of sampling against the dimension, for every family."""

from statistics import median

import torch

from benchmarks.speed.fixed_points import stretch
from benchmarks.speed.race import interleaved
from benchmarks.tables import Cell, Table
from flowbench.bijections.residual import ResidualBlock
from flowbench.families.flow import Flow
from flowbench.families.registry import create

DIMENSIONS = (16, 64, 256, 1024)
BATCH, DEPTH = 64, 4
FAMILIES = ("nice", "realnvp", "glow", "planar", "sylvester", "residual")
TOLERANCE = 1e-5
"""Of residual blocks, relative; others solve to round-off or need not."""


def sampling_cost(quick: bool = False) -> Table:
    """Time one batch of each family at each D, at perturbed weights."""
    rows: list[tuple[Cell, ...]] = []
    for dim in DIMENSIONS[:1] if quick else DIMENSIONS:
        flows = {name: _perturbed(name, dim) for name in FAMILIES}
        calls = {name: lambda flow=flow: flow.sample(BATCH) for name, flow in flows.items()}
        taken = interleaved(calls, rounds=5 if quick else 20, seconds=4.0)
        for name, flow in flows.items():
            mean, most = _iterations(flow)
            rows.append((name, float(dim), 1e6 * median(taken[name]) / BATCH, mean, most))
    rows.sort(key=lambda row: FAMILIES.index(str(row[0])))
    columns = ("family", "D", "a sample, us", "iterations a layer, mean", "most")
    note = (
        f"{DEPTH} layers, batches of {BATCH}, weights perturbed, those of residual blocks stretched"
        f" to their whole bound; iterations of the layers that are inverted by them, residual"
        f" blocks to a relative error of {TOLERANCE:g}."
    )
    return Table("sampling", "Sampling against the dimension", columns, rows, note)


def _perturbed(name: str, dim: int) -> Flow:
    torch.manual_seed(0)
    flow = create(name, event_shape=(dim,), depth=DEPTH)
    assert isinstance(flow, Flow)
    with torch.no_grad():
        for parameter in flow.parameters():
            spread = parameter.std() if parameter.numel() > 1 else parameter.abs()
            parameter.add_(0.2 * spread.clamp(min=0.02) * torch.randn_like(parameter))
    flow.after_step()
    flow.eval()
    for layer in flow.bijections():
        if isinstance(layer, ResidualBlock):
            layer.tolerance = TOLERANCE
            # At their start branches contract faster than they may, and than trained ones do.
            stretch(layer.branch)
    return flow.eval()


def _iterations(flow: Flow) -> tuple[Cell, Cell]:
    known = [layer.convergence for layer in flow.bijections() if layer.convergence is not None]
    if not known:
        return None, None
    counts = torch.cat([each.iterations for each in known]).float()
    return float(counts.mean()), float(counts.max())
