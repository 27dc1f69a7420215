"""When training has had its share: epochs, steps or seconds."""

import time
from typing import Any

from pytorch_lightning import Callback, Trainer

from flowbench.run_directory import Pace
from flowbench.spec.run import TrainingSpec
from flowbench.training.module import FlowModule
from flowbench.training.ranks import from_rank_zero

PARTS = 1000
"""Of a budget in seconds: the learning rate follows it in so many stairs, which `Pace` records."""


class Budget(Callback):
    """Ends training when its epochs, steps or seconds are spent, after a last validation.

    Seconds run from the first step, on rank 0's clock, validations included; those of earlier
    attempts at the same run count. The step that passes the limit is the last.

    Args:
        spec: the limits.
        replay: the pace of an earlier run of a budget in seconds, to be kept instead of the clock.
    """

    def __init__(self, spec: TrainingSpec, replay: Pace | None = None) -> None:
        self.spec, self.replay = spec, replay
        self._kept = dict(replay.thousandths) if replay is not None else {}
        self._earlier = 0.0
        self._began: float | None = None
        self._thousandths: list[tuple[int, int]] = [(0, 0)]

    @property
    def seconds(self) -> float:
        """Time spent so far, in all attempts."""
        now = time.monotonic()
        return self._earlier + (0.0 if self._began is None else now - self._began)

    def pace(self, steps: int) -> Pace:
        """Return how the training went, after its last step."""
        return Pace(thousandths=tuple(self._thousandths), steps=steps)

    def on_train_start(self, trainer: Trainer, pl_module: FlowModule) -> None:  # type: ignore[override]
        self._began = time.monotonic()
        pl_module.elapsed_share = self._thousandths[-1][1] / PARTS

    def on_train_epoch_start(self, trainer: Trainer, pl_module: FlowModule) -> None:  # type: ignore[override]
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: FlowModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        spent = self.spec.max_steps is not None and step >= self.spec.max_steps
        if self.spec.max_seconds is not None:
            part = self._part(trainer, step, self.spec.max_seconds)
            if part != self._thousandths[-1][1]:
                self._thousandths.append((step, part))
            pl_module.elapsed_share = part / PARTS
            spent |= part == PARTS if self.replay is None else step >= self.replay.steps
        if spent:
            # Lightning validates before it stops, but in epochs that are due only.
            trainer.should_stop = True
            trainer.check_val_every_n_epoch = 1

    def _part(self, trainer: Trainer, step: int, limit: float) -> int:
        """Return how many thousandths of the seconds are spent after a step, on every rank."""
        if self.replay is not None:
            return self._kept.get(step, self._thousandths[-1][1])
        return int(from_rank_zero(trainer, min(int(PARTS * self.seconds / limit), PARTS)))

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "thousandths": list(self._thousandths)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._earlier = state_dict["seconds"]
        self._thousandths = [(step, part) for step, part in state_dict["thousandths"]]
