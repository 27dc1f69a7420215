"""What engines of many machines share: what a trial needs there, and results seen late."""

import importlib
import os
import time
from dataclasses import dataclass
from types import ModuleType

from flowbench.errors import InputError
from flowbench.run_directory import PARENT, AttemptDirectory
from flowbench.spec.run import TrainingSpec

LATE_SECONDS = 60.0
"""How long a shared file system may hide a file that another machine wrote: NFS's default."""

SIGNALLED = 128
"""An exit code above it names a signal, as a shell says it."""


@dataclass(frozen=True)
class Need:
    """What a trial needs: the same on each of its nodes."""

    nodes: int = 1
    ranks: int = 1
    """On each node."""
    threads: int = 1
    """CPU threads of each rank, a core for each."""
    gpu: bool = False
    """Whether each rank has a GPU of its own."""

    @classmethod
    def of(cls, training: TrainingSpec, nodes: int, *, gpus_here: bool) -> "Need":
        """Return what a training needs, spread over nodes, on a cluster with GPUs or without."""
        wanted = {"auto": gpus_here, "gpu": True, "cpu": False}[training.accelerator]
        return cls(nodes, training.devices // nodes, training.threads or 1, wanted)

    @classmethod
    def of_measuring(cls, training: TrainingSpec, *, gpus_here: bool) -> "Need":
        """Return what measuring the speed of models needs that were trained so: one device."""
        return cls.of(training.model_copy(update={"devices": 1}), 1, gpus_here=gpus_here)

    @property
    def cpus(self) -> int:
        """Cores on each node."""
        return self.ranks * self.threads

    @property
    def gpus(self) -> int:
        """GPUs on each node."""
        return self.ranks if self.gpu else 0

    def environment(self) -> dict[str, str]:
        """Return the variables that make a process on another machine run as here."""
        ours = ("FLOWBENCH_", "PYTHONPATH")
        kept = {k: v for k, v in os.environ.items() if k.startswith(ours) and k != PARENT}
        return {**kept, "OMP_NUM_THREADS": str(self.threads)}


def required(module: str, extra: str) -> ModuleType:
    """Import what an engine needs.

    Raises:
        InputError: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise InputError(
            f"resources.engine = {extra!r} needs the package {module}, which is not installed;"
            f" pip install 'flowbench[{extra}]' brings it, and engine = 'local' does without"
        ) from None


class LateResult:
    """Holds back the exit code of a trial until its result can be seen from here.

    Args:
        attempt: where the result will be; None where nothing is waited for.
    """

    def __init__(self, attempt: AttemptDirectory | None) -> None:
        self._attempt = attempt
        self._ended: float | None = None

    @property
    def seen(self) -> bool:
        """Whether the result is there."""
        return self._attempt is not None and self._attempt.result() is not None

    def code(self, code: int) -> int | None:
        """Return the exit code, None while a result may still appear."""
        if self._attempt is None or is_lost(code) or self.seen:
            return code
        if self._ended is None:
            self._ended = time.monotonic()
        return code if time.monotonic() - self._ended > LATE_SECONDS else None


def is_lost(code: int) -> bool:
    """Say whether an exit code tells of a signal, and so of no end of the trial's own."""
    return code < 0 or code > SIGNALLED
