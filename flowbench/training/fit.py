"""Fitting one flow to one data set with Lightning's Trainer."""

import logging
import signal
import threading
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy

from flowbench.data.module import FlowData
from flowbench.errors import InputError, NotInvertible
from flowbench.families.flow import Flow
from flowbench.families.foreign import ForeignFlow
from flowbench.run_directory import AttemptDirectory, RunDirectory
from flowbench.spec.run import RunSpec, TrainingSpec
from flowbench.training.budget import Budget
from flowbench.training.compiled import require_compiler
from flowbench.training.divergence import Diverged
from flowbench.training.module import FlowModule
from flowbench.training.placement import (
    device_type,
    dtype,
    precision_plugin,
    rank_devices,
    ranks_here,
)
from flowbench.training.resume import ResumePoint, drop_resume_points, resume_from
from flowbench.training.selection import PruneWatch, Selection
from flowbench.training.signs import SignsOfLife

FitOutcome = Literal["completed", "pruned", "diverged", "not_invertible"]


@dataclass(frozen=True)
class Fitted:
    """How a fit ended; the best model is in the attempt's directory, if there was one.

    Attributes:
        outcome: `completed` also where patience or a limit ended it.
        reason: one sentence; empty for `completed`.
        epochs: begun, in all attempts.
        steps: of the optimiser, in all attempts.
        seconds: from the first step to the last, in all attempts.
        best: the metrics of the best validation.
        compiled: how steps ran: `yes`, `no`, or `no` with the reason where it was asked for.
    """

    outcome: FitOutcome
    reason: str
    epochs: int
    steps: int
    seconds: float
    best: dict[str, float]
    compiled: str = "no"


def fit(flow: Flow, data: FlowData, spec: RunSpec, attempt: AttemptDirectory) -> Fitted:
    """Fit a flow by maximum likelihood, on this process's rank of all.

    Events and checkpoints go to the attempt's directory, from rank 0. An earlier attempt's
    checkpoint is gone on from, with the losses of a fit that was never interrupted. A budget in
    seconds leaves its pace in the attempt; a run that repeats another keeps that one's pace.

    Args:
        flow: the model as it was created; it is left as it was in the last step.
        data: its batch size and the seed of its order are set to the run's.
        spec: the run.
        attempt: where to write; its directory exists.

    Raises:
        InputError: if this machine has not the devices, or no compiler where one is needed, or
            the batch is below a row for each device.
    """
    training = spec.training
    rows = data.info.sizes["train"]
    data.batch_size, data.sampler_seed = min(training.batch_size, rows), spec.model_seed
    if data.batch_size < training.devices:
        raise InputError(
            f"training.devices = {training.devices}: a batch has {data.batch_size} rows "
            f"(training.batch_size = {training.batch_size}, {rows} training rows)"
        )
    if training.compile:
        require_compiler(device_type(training))
    module = FlowModule(
        flow.to(dtype(training)),
        training,
        data.dequantise,
        spec.model_seed,
        global_batch=data.batch_size,
    )
    replay = RunDirectory(attempt.path.parent).replay()
    budget = Budget(training, replay.pace if replay is not None else None)
    selection = Selection(attempt, about(data, spec), training.patience)
    prune = PruneWatch(attempt, attempt.terms().verdict_seconds)
    distributed = training.distributed
    _quieten()
    trainer = pl.Trainer(
        accelerator=device_type(training),
        devices="auto" if distributed else 1,  # the strategy says which
        num_nodes=training.devices // ranks_here(training) if distributed else 1,
        strategy=_ddp(flow, training) if distributed else "auto",
        plugins=[
            precision_plugin(training),
            # Said, not guessed: inside a Slurm job Lightning would look for its ranks there.
            TorchElasticEnvironment() if distributed else LightningEnvironment(),
        ],
        max_epochs=training.max_epochs,
        check_val_every_n_epoch=training.validate_every,
        callbacks=[
            budget,
            selection,
            prune,
            ResumePoint(attempt),
            SignsOfLife(attempt),
            OwnSignals(),
        ],
        # Layers may keep what they compute in validation: it must not be barred from training.
        inference_mode=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    outcome: FitOutcome = "completed"
    reason = ""
    try:
        point = resume_from(attempt, is_global_zero=trainer.is_global_zero)
        trainer.fit(module, datamodule=data, ckpt_path=point, weights_only=True)
    except Diverged as error:
        outcome, reason = "diverged", str(error)
    except NotInvertible as error:
        outcome, reason = "not_invertible", str(error)
    if outcome == "completed" and prune.pruned:
        outcome, reason = "pruned", f"pruned after epoch {trainer.current_epoch}"
    elif outcome == "completed" and not selection.best:
        outcome, reason = "diverged", "no validation gave a finite likelihood"
    if trainer.is_global_zero:
        drop_resume_points(attempt)
        if training.max_seconds is not None:
            attempt.write_pace(budget.pace(trainer.global_step))
    return Fitted(
        outcome=outcome,
        reason=reason,
        epochs=trainer.current_epoch,
        steps=trainer.global_step,
        seconds=budget.seconds,
        best=selection.best,
        compiled="no" if module.compiled is None else module.compiled.label,
    )


def _ddp(flow: Flow, spec: TrainingSpec) -> DDPStrategy:
    """Return Lightning's part in sharing gradients."""
    return DDPStrategy(
        parallel_devices=rank_devices(spec),
        process_group_backend=None if spec.backend == "auto" else spec.backend,
        # Ranks make the same buffers. DDP's broadcast of them would also run in validation,
        # where one rank may have a batch less than another, and wait for it forever.
        broadcast_buffers=False,
        # A user's module may hold parameters that its density does not use.
        find_unused_parameters=isinstance(flow, ForeignFlow),
    )


def about(data: FlowData, spec: RunSpec) -> dict[str, Any]:
    """Return what a model file says of the data and the run, ready for JSON."""
    info = data.info
    return {
        "data": spec.data.model_dump(mode="json"),
        "data_seed": spec.data_seed,
        "data_name": info.name,
        "data_hash": info.content_hash,
        "data_label": info.data_label,
        "levels": info.levels,
        "dequantised": data.source.dequantised,
        "columns": list(info.columns),
        "spec_hash": spec.hash,
    }


class OwnSignals(pl.Callback):
    """Keeps the process's own handler of SIGTERM.

    Lightning puts one before it that broadcasts inside the signal: ranks that are stopped
    together then wait for each other for good.
    """

    def __init__(self) -> None:
        self.handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.handler)


def _quieten() -> None:
    """Keep Lightning's advice and banners out of the log, which is for what goes wrong."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.ERROR)
    # Rows are already in memory, and are fetched a batch at a time: workers would only wait.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated.*")
    warnings.filterwarnings("ignore", message=".*broadcast_buffers.* is deprecated.*")
