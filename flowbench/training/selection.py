"""Each validation: what it said, whether it was the best, and whether to go on."""

import time
from collections.abc import Mapping
from math import inf
from typing import Any

from pytorch_lightning import Callback, Trainer

from flowbench.families.checkpoint import save_flow
from flowbench.run_directory import AttemptDirectory
from flowbench.training.module import FlowModule
from flowbench.training.ranks import from_rank_zero

MEASURES = ("bits_per_dim", "bits_per_dim_se", "nats", "nats_se")
CHOSEN_BY = "val/bits_per_dim"


class Selection(Callback):
    """Reports each validation, keeps the model of the best, stops where none improves.

    The model is the one that was validated: with averaged weights where they are averaged.

    Args:
        attempt: takes the events and the model.
        about: facts of the data and the run to store with the model.
        patience: validations without improvement before training stops; None never stops.

    Attributes:
        best: the metrics of the best validation; empty while none was finite.
    """

    def __init__(
        self, attempt: AttemptDirectory, about: Mapping[str, Any], patience: int | None
    ) -> None:
        self.attempt, self.about, self.patience = attempt, about, patience
        self.best: dict[str, float] = {}
        self.waited = 0

    def on_validation_end(self, trainer: Trainer, pl_module: FlowModule) -> None:  # type: ignore[override]
        computed = pl_module.validation.compute()
        metrics = {f"val/{name}": float(computed[name]) for name in MEASURES}
        train = pl_module.train_terms()
        epoch = trainer.current_epoch + 1
        # A likelihood that is not a number is no improvement.
        if metrics[CHOSEN_BY] < self.best.get(CHOSEN_BY, inf):
            self.best, self.waited = metrics, 0
            if trainer.is_global_zero:
                save_flow(pl_module.flow, self.attempt.model, {**self.about, "epoch": epoch})
        else:
            self.waited += 1
        if self.patience is not None and self.waited >= self.patience:
            trainer.should_stop = True
        if trainer.is_global_zero:
            values = {"epoch": epoch, "step": trainer.global_step}
            self.attempt.append_event("validation", {**values, "metrics": metrics, "train": train})

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.waited = state_dict["best"], state_dict["waited"]


class PruneWatch(Callback):
    """Stops a training that its driver has given up, at a validation, on all ranks in one step.

    Where validations are judged, rank 0 waits for the word, so that a sweep prunes the same trials
    each time. A driver that is gone is waited for once: after that, only if it has caught up.

    Args:
        attempt: says whether to stop.
        patience: seconds to wait for the word at a validation; None does not wait.

    Attributes:
        pruned: whether it did.
    """

    def __init__(self, attempt: AttemptDirectory, patience: float | None = None) -> None:
        self.attempt, self.patience = attempt, patience
        self.pruned = False
        self._asked = -1

    def on_validation_end(self, trainer: Trainer, pl_module: FlowModule) -> None:  # type: ignore[override]
        if trainer.is_global_zero and self.patience is not None:
            self._wait(trainer.global_step, self.patience)
        self.pruned = bool(from_rank_zero(trainer, self.attempt.prune_requested))
        if self.pruned:
            trainer.should_stop = True

    def _wait(self, step: int, patience: float) -> None:
        if self.attempt.judged < self._asked:
            return
        self._asked = step
        deadline = time.monotonic() + patience
        pause = 0.002
        while self.attempt.judged < step and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(1.2 * pause, 0.1)
