"""Going on where an interrupted training was: `resume.ckpt`, written at epochs' ends."""

import os
import shutil
import time
from pathlib import Path

from pytorch_lightning import Callback, Trainer

from flowbench.run_directory import AttemptDirectory, RunDirectory
from flowbench.training.module import FlowModule
from flowbench.training.ranks import from_rank_zero

NAME = "resume.ckpt"
SHARE = 0.05
"""Of the training time, spent on writing at most: what a kill may cost in return is small too."""


class ResumePoint(Callback):
    """Saves what a new attempt needs, at the end of the first epoch and then now and again."""

    def __init__(self, attempt: AttemptDirectory) -> None:
        self.path = attempt.checkpoints / NAME
        self._next = 0.0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: FlowModule) -> None:  # type: ignore[override]
        began = time.monotonic()
        # A training that stops has nothing to resume, and may be in the middle of an epoch.
        if not from_rank_zero(trainer, began >= self._next) or trainer.should_stop:
            return
        self._save(trainer)
        now = time.monotonic()
        self._next = now + (now - began) / SHARE

    def _save(self, trainer: Trainer) -> None:
        """Write a new checkpoint beside the old one, and put it in its place once it is whole.

        Lightning writes to the directory of temporary files: from another file system its file is
        copied, which a full disk or a kill cuts short.
        """
        new = self.path.with_name(f".{NAME}")
        try:
            trainer.save_checkpoint(new, weights_only=False)  # by every rank: they wait here
            if trainer.is_global_zero:
                with new.open("rb") as file:
                    os.fsync(file.fileno())
                new.replace(self.path)
        finally:
            if trainer.is_global_zero:
                new.unlink(missing_ok=True)


def resume_from(attempt: AttemptDirectory, *, is_global_zero: bool) -> Path | None:
    """Return the newest checkpoint of a run's attempts up to this one, None where there is none.

    Rank 0 carries the best model so far over from where the checkpoint is: ranks that both did
    would be in each other's way.
    """
    for earlier in reversed(_attempts(attempt)):
        if earlier.number <= attempt.number and (path := earlier.checkpoints / NAME).is_file():
            if is_global_zero and earlier.model.is_file() and not attempt.model.is_file():
                _link(earlier.model, attempt.model)
            return path
    return None


def drop_resume_points(attempt: AttemptDirectory) -> None:
    """Delete the checkpoints of all attempts at a run that needs them no more."""
    for each in _attempts(attempt):
        (each.checkpoints / NAME).unlink(missing_ok=True)


def _attempts(attempt: AttemptDirectory) -> list[AttemptDirectory]:
    return RunDirectory(attempt.path.parent).attempts()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)
