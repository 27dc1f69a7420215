"""When training has had its share: epochs, steps or seconds."""

import time
from typing import Any

from pytorch_lightning import Callback, Trainer

from flowbench.spec.run import TrainingSpec
from flowbench.training.module import FlowModule
from flowbench.training.ranks import from_rank_zero


class Budget(Callback):
    """Ends training when its epochs, steps or seconds are spent, after a last validation.

    Seconds run from the first step, on rank 0's clock, validations included; those of earlier
    attempts at the same run count. The step that passes the limit is the last.
    """

    def __init__(self, spec: TrainingSpec) -> None:
        self.spec = spec
        self._earlier = 0.0
        self._began: float | None = None

    @property
    def seconds(self) -> float:
        """Time spent so far, in all attempts."""
        now = time.monotonic()
        return self._earlier + (0.0 if self._began is None else now - self._began)

    def on_train_start(self, trainer: Trainer, pl_module: FlowModule) -> None:  # type: ignore[override]
        self._began = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: FlowModule) -> None:  # type: ignore[override]
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1

    def on_train_batch_start(  # type: ignore[override]
        self, trainer: Trainer, pl_module: FlowModule, batch: Any, batch_idx: int
    ) -> None:
        if self.spec.max_seconds is not None:
            share = self.seconds / self.spec.max_seconds
            pl_module.elapsed_share = from_rank_zero(trainer, share)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: FlowModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        steps, seconds = self.spec.max_steps, self.spec.max_seconds
        spent = steps is not None and trainer.global_step >= steps
        if seconds is not None:
            spent |= bool(from_rank_zero(trainer, self.seconds >= seconds))
        if spent:
            # Lightning validates before it stops, but in epochs that are due only.
            trainer.should_stop = True
            trainer.check_val_every_n_epoch = 1

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._earlier = state_dict["seconds"]
