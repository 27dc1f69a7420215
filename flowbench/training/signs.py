"""Signs of life, so that a driver can tell a trial that hangs from one that is slow."""

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from flowbench.run_directory import AttemptDirectory, Sign

SECONDS_APART = 1.0


class SignsOfLife(Callback):
    """Writes down, from rank 0 and about once a second, how many steps and batches were done.

    Nothing else writes them, no thread with a clock: ranks that wait for one that hangs are silent.
    """

    def __init__(self, attempt: AttemptDirectory) -> None:
        self.attempt = attempt
        self._batches = 0
        self._next = 0.0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self._done(trainer)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: Any
    ) -> None:
        self._done(trainer)

    def _done(self, trainer: Trainer) -> None:
        self._batches += 1
        now = time.monotonic()
        if trainer.is_global_zero and now >= self._next:
            self._next = now + SECONDS_APART
            self.attempt.write_sign(Sign(steps=trainer.global_step, batches=self._batches))
