"""A step of training, as it costs: on a copy, so that the model stays what it is."""

from __future__ import annotations

from copy import deepcopy

from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW

from flowbench.data.batch import Batch
from flowbench.data.module import FlowData
from flowbench.evaluation.measuring import SEED, place
from flowbench.families.flow import Flow

LEARNING_RATE = 1e-4
"""Small, so that a trained model stays near where it is; not zero, so that spectral norms have a
step's worth of work."""
CLIP = 5.0


class TrainingStep:
    """Takes the same step for every family: gradient, clipping, fused Adam, layers' constraints.

    That is what `training.fit` does on one device, whatever optimiser it was told, without
    Lightning, loading and dequantization. Calling it takes one step.

    Args:
        flow: a fitted model, of which a copy is trained.
        batch: rows of the training split, in data units and on the flow's device.
    """

    def __init__(self, flow: Flow, batch: Batch) -> None:
        self.flow = deepcopy(flow).train()
        self.batch = batch
        trained = [p for p in self.flow.parameters() if p.requires_grad]
        self.optimiser = AdamW(trained, lr=LEARNING_RATE, fused=True)
        self.steps = 0

    def __call__(self) -> None:
        batch = self.batch
        self.flow.key_noise(SEED, self.steps, batch.row)
        loss = -self.flow(batch.x, batch.context).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        clip_grad_norm_(self.flow.parameters(), CLIP)
        self.optimiser.step()
        self.flow.after_step()
        self.steps += 1


def training_batch(flow: Flow, data: FlowData) -> Batch:
    """Return one batch of the training split, as many rows as the run trained with."""
    device, dtype = place(flow)
    batch = next(data.batches("train", data.batch_size)).to(device)
    context = None if batch.context is None else batch.context.to(dtype)
    return Batch(batch.x.to(dtype), batch.row, context)
