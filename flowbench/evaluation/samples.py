"""Samples kept to look at, beside real points."""

from pathlib import Path

import numpy as np
import torch

from flowbench.data.module import FlowData
from flowbench.evaluation.measuring import held_out_context, measuring, seeded
from flowbench.families.flow import Flow
from flowbench.spec.vocabulary import Split

SCATTER = 1000
"""Points kept of tables and densities, at the least: fewer do not show a density."""


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
    context = held_out_context(flow, data, split, count)
    with measuring(flow):
        drawn = flow.sample(count, context, generator=seeded(flow))
    real = torch.cat([batch.x for batch in data.batches(split, limit=count)])
    with path.open("wb") as file:
        np.savez(
            file,
            flow=data.dequantise.quantise(drawn.cpu()).numpy(),
            data=data.dequantise.quantise(real).numpy(),
        )
