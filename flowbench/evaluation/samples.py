"""Samples: drawn in batches, and kept to look at beside real points."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowbench.data.batch import rows_at_once
from flowbench.data.module import FlowData
from flowbench.evaluation.measuring import SEED, held_out_context, measuring, place
from flowbench.families.flow import Flow
from flowbench.spec.vocabulary import Split

BATCH = 1024
"""Samples drawn at once."""

SCATTER = 1000
"""Points kept of tables and densities, at the least: fewer do not show a density."""


def draw(
    flow: Flow,
    n: int,
    context: Tensor | None = None,
    *,
    temperature: float = 1.0,
    seed: int = SEED,
) -> Tensor:
    """Draw ``(n, *event_shape)`` in data units, on the CPU; the same for the same seed.

    Args:
        flow: the model.
        n: how many.
        context: ``(n, C)`` where the density is conditional.
        temperature: scale of the base's samples.
        seed: of the base's noise.
    """
    generator = torch.Generator(place(flow)[0]).manual_seed(seed)
    batch = rows_at_once(flow, BATCH)
    drawn = []
    with measuring(flow):
        for start in range(0, n, batch):
            count = min(batch, n - start)
            rows = None if context is None else context[start : start + count]
            drawn.append(flow.sample(count, rows, temperature, generator).cpu())
    return torch.cat(drawn)


def save_samples(flow: Flow, data: FlowData, split: Split, count: int, path: Path) -> None:
    """Write `samples.npz`: `flow`, the model's samples, and `data`, held-out points as they are.

    Both are ``(n, *event_shape)`` in data units; samples of integer data are integers.

    Args:
        flow: the model.
        data: the data set.
        split: the part that real points, and contexts, come from.
        count: how many images; of tables and densities at least a thousand rows.
        path: the file.
    """
    count = count if data.info.kind == "image" else max(count, SCATTER)
    drawn = draw(flow, count, held_out_context(flow, data, split, count))
    real = torch.cat([batch.x for batch in data.batches(split, limit=count)])
    with path.open("wb") as file:
        np.savez(
            file,
            flow=data.dequantise.quantise(drawn).numpy(),
            data=data.dequantise.quantise(real).numpy(),
        )
