"""The one LightningModule: a step of maximum likelihood for any flow."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from math import log
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from flowbench.data.batch import Batch, rows_at_once
from flowbench.families.flow import Flow
from flowbench.metrics.bits_per_dim import BitsPerDim
from flowbench.spec.run import TrainingSpec
from flowbench.training.compiled import CompiledTerms
from flowbench.training.divergence import DivergenceWatch
from flowbench.training.ema import WeightAverage
from flowbench.training.optimisers import clipped_norm, optimiser, schedule
from flowbench.training.reversible import backpropagate_reversibly
from flowbench.training.terms import log_prob_terms

logger = logging.getLogger(__name__)

Dequantise = Callable[[Tensor, Tensor, int], Tensor]
"""Takes integers, their row indices and the number of the draw to continuous values."""

CHECK_EVERY = 32
"""Steps between looks at the gradient's norm on a GPU, where each look waits for the device."""


def continuous(x: Tensor, row: Tensor, draw: int) -> Tensor:
    """Leave continuous data as they are."""
    return x


WORTH_SAYING = 1e-3
RECONSTRUCTION = (
    "training.reversible = true: inputs were found again with a relative error of %.1e: "
    "gradients may be wrong by as much"
)


class FlowModule(pl.LightningModule):
    """Fits any flow by maximum likelihood, on one process or many.

    The loss is the mean negative log-density in nats, and what is logged is that likelihood, its
    two terms apart, never a gradient surrogate. All randomness is keyed by what it belongs to:
    dequantization by (data set, row, epoch), estimators by (seed, step, row).

    Args:
        flow: any family, or a user's module wrapped as one.
        spec: optimiser, schedule, averages.
        dequantise: the data's boundary step.
        seed: the model seed.
        global_batch: rows in a batch of all ranks together; None where ranks hold equal shares.
    """

    # A rank may have no validation rows at all.
    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(
        self,
        flow: Flow,
        spec: TrainingSpec,
        dequantise: Dequantise = continuous,
        seed: int = 0,
        *,
        global_batch: int | None = None,
    ) -> None:
        super().__init__()
        self.flow = flow
        self.spec = spec
        self.dequantise = dequantise
        self.seed = seed
        self.global_batch = global_batch
        self.validation = BitsPerDim(flow.dim)
        self.average = WeightAverage(flow, spec.ema_decay) if spec.ema_decay else None
        self.reconstruction = backpropagate_reversibly(flow) if spec.reversible else None
        # Validation has batches of other sizes and no gradients: more programs than it would repay.
        self.compiled = CompiledTerms(flow, spec) if spec.compile else None
        self.watch = DivergenceWatch()
        self.elapsed_share = 0.0
        """How much of a budget in seconds is spent, the same on every rank; `Budget` keeps it."""
        self._terms = torch.zeros(3, dtype=torch.float64)
        self._norm = torch.zeros(())
        self._said = False

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the log-density in nats, ``(N,)``."""
        log_prob: Tensor = self.flow(x, context)
        return log_prob

    # Training

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = optimiser(self.flow, self.spec)
        factor = schedule(self.spec, self.total_steps)
        scheduler = LambdaLR(optimizer, lambda step: factor(step, self.elapsed_share))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole training."""
        planned = int(self.trainer.estimated_stepping_batches)
        return planned if self.spec.max_steps is None else min(planned, self.spec.max_steps)

    def on_train_start(self) -> None:
        if self.average is not None:
            self.average.follow()

    def on_train_epoch_start(self) -> None:
        # What a user's own flow draws from torch's generator repeats after a resume too.
        torch.manual_seed(hash((self.seed, self.current_epoch)))
        self._terms = torch.zeros(3, dtype=torch.float64, device=self.device)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if self.global_step == 0:
            self.flow.initialise(self._values(batch, self.current_epoch), batch.context)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss in nats: over all ranks, the mean of -log p over the global batch."""
        x = self._values(batch, self.current_epoch)
        self.flow.key_noise(self.seed, self.global_step, batch.row)
        terms = self.compiled or partial(log_prob_terms, self.flow)
        base_log_prob, log_det = terms(x, batch.context)
        log_prob = base_log_prob + log_det
        # DDP averages gradients over ranks: sums weighted so are exact for unequal shares too.
        rows = self.global_batch or len(batch) * self.trainer.world_size
        count = torch.tensor(float(len(batch)), device=x.device)
        sums = torch.stack([base_log_prob.sum(), log_det.sum(), count]).detach()
        self._terms += sums.to(torch.float64)
        return -log_prob.sum() * (self.trainer.world_size / rows)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        self._norm = clipped_norm(self.flow, self.spec.gradient_clip)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.flow.after_step()
        if self.average is not None:
            self.average.update()
        # With float16 a gradient that overflows is skipped and its scale lowered: no failure.
        often = 1 if self.device.type == "cpu" else CHECK_EVERY
        if self.spec.precision != "16" and self.global_step % often == 0:
            self.watch.gradient(float(self._norm), self.current_epoch + 1, self.global_step)

    def on_train_epoch_end(self) -> None:
        terms = self.train_terms()
        error = terms.get("train/reconstruction_error", 0.0)
        if error > WORTH_SAYING and not self._said:
            self._said = True
            logger.warning(RECONSTRUCTION, error)
        loss = -(terms["train/base_log_prob"] + terms["train/log_det"]) / self.flow.dim
        self.watch.epoch(loss, self.current_epoch + 1, self.global_step)

    def train_terms(self) -> dict[str, float]:
        """Return this epoch's mean terms of the loss so far, in nats, reduced over ranks.

        With reversible backpropagation also the largest error of an input that it found again
        since the training began.
        """
        sums = self._terms.clone()
        if self.trainer.world_size > 1:
            sums = self.trainer.strategy.reduce(sums, reduce_op="sum")
        base, log_det, count = sums.tolist()
        found = {}
        if self.reconstruction is not None and self.reconstruction.error is not None:
            worst = self.reconstruction.error
            if self.trainer.world_size > 1:
                worst = self.trainer.strategy.reduce(worst, reduce_op="max")
            found["train/reconstruction_error"] = float(worst)
        return found | {
            "train/base_log_prob": base / count,
            "train/log_det": log_det / count,
            "train/bits_per_dim": -(base + log_det) / count / (self.flow.dim * log(2)),
        }

    # Validation

    def on_validation_model_eval(self) -> None:
        # Averaged weights come first: layers renew what depends on weights as they enter eval.
        if self.average is not None:
            self.average.swap_in()
            self.flow.after_step()
        self.eval()

    def on_validation_model_train(self) -> None:
        self.train()
        if self.average is not None:
            self.average.swap_out()

    def on_validation_epoch_start(self) -> None:
        self.validation.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add the batch's log-densities, of its first dequantization draw, to `validation`."""
        # A measure is never taken in half precision, whatever the training's is.
        with torch.autocast(self.device.type, enabled=False):
            for part in batch.parts(rows_at_once(self.flow, len(batch))):
                x = self._values(part, 0)
                self.flow.key_noise(self.seed, 0, part.row)
                self.validation.update(self(x, part.context))

    # Resume

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["divergence_best"] = self.watch.best
        if self.reconstruction is not None:
            checkpoint["reconstruction_error"] = self.reconstruction.error
        if self.average is not None:
            checkpoint["average"] = self.average.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.watch.best = checkpoint["divergence_best"]
        if self.reconstruction is not None:
            self.reconstruction.error = checkpoint.get("reconstruction_error")
        if self.average is not None:
            self.average.load_state_dict(checkpoint["average"])

    def _values(self, batch: Batch, draw: int) -> Tensor:
        """Return the batch as continuous values in the flow's precision."""
        dtype = next(self.flow.parameters()).dtype
        return self.dequantise(batch.x.to(dtype), batch.row, draw)
