"""Peak memory of a training step against depth: activations kept, and computed again."""

from pathlib import Path
from typing import Any

import torch

from benchmarks.tables import Cell, Table
from flowbench.evaluation.memory import peak_memory_of
from flowbench.families.flow import Flow
from flowbench.families.registry import create
from flowbench.training.reversible import backpropagate_reversibly

DEPTHS = (4, 8, 16, 32, 64)
MIB = 2**20
WORKS: dict[str, tuple[str, tuple[int, ...], int, dict[str, Any]]] = {
    "RealNVP, D=64, batch 1024": ("realnvp", (64,), 1024, {"hidden": (128, 128)}),
    "Glow, 1x16x16, 2 levels, batch 32": ("glow", (1, 16, 16), 32, {"width": 32, "levels": 2}),
}
KEPT, AGAIN = "stored, MiB", "reversible, MiB"


def memory_depth(quick: bool = False) -> Table:
    """Measure one step's gradient of each work at each depth, in both ways."""
    rows: list[tuple[Cell, ...]] = []
    for title, (family, shape, batch, options) in WORKS.items():
        x = torch.randn(8 if quick else batch, *shape)
        for depth in DEPTHS[:2] if quick else DEPTHS:
            flow = create(family, event_shape=shape, depth=depth, **options)
            assert isinstance(flow, Flow)
            flow.initialise(x)
            kept = _peak(flow, x)
            backpropagate_reversibly(flow)
            rows.append((title, float(depth), kept, _peak(flow, x)))
    columns = ("work", "depth", KEPT, AGAIN)
    note = (
        "Most bytes that tensors held at once in forward and backward pass, beside weights, batch"
        " and the gradients themselves."
    )
    return Table("memory", "Peak memory of a gradient", columns, rows, note)


def _peak(flow: Flow, x: torch.Tensor) -> float:
    flow.train()
    parameters = [parameter for parameter in flow.parameters() if parameter.requires_grad]
    gradients = sum(parameter.numel() * parameter.element_size() for parameter in parameters)

    def gradient() -> object:
        return torch.autograd.grad(flow(x).mean(), parameters)

    return (peak_memory_of(gradient, torch.device("cpu")) - gradients) / MIB


def draw(table: Table, path: Path) -> None:
    """Draw the table, a panel for each work."""
    from matplotlib.figure import Figure

    titles = list(dict.fromkeys(str(row[0]) for row in table.rows))
    figure = Figure(figsize=(4 * len(titles), 3), layout="constrained")
    for axes, title in zip(figure.subplots(1, len(titles), squeeze=False)[0], titles, strict=True):
        rows = [row for row in table.rows if row[0] == title]
        for column, marker in ((2, "o"), (3, "s")):
            axes.plot([row[1] for row in rows], [row[column] for row in rows],
                      marker=marker, label=table.columns[column].removesuffix(", MiB"))  # fmt: skip
        axes.set(title=title, xlabel="depth", ylabel="peak, MiB", ylim=(0, None))
        axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
