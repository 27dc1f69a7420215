"""The protocol between a trial and its driver: files under `runs/<id>/`, written atomically.

runs/<id>/spec.json                      the resolved RunSpec
runs/<id>/speed.json                     a TrialResult: the sampling speed, measured later, alone
runs/<id>/attempt-<n>/events.jsonl       what happened, one JSON object a line (rank 0 writes)
runs/<id>/attempt-<n>/result.json        the TrialResult: present if and only if it is final
runs/<id>/attempt-<n>/PRUNE              the driver's wish that the trial stop
runs/<id>/attempt-<n>/log                stdout and stderr of the trial's processes
runs/<id>/attempt-<n>/checkpoints/       best.pt, resume.ckpt
"""

import errno
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from flowbench.errors import InputError
from flowbench.spec.run import RunSpec
from flowbench.spec.validation import validated
from flowbench.spec.vocabulary import Outcome

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A full disk, a used-up quota, a limit on the size of files."""

DISK_FULL = errno.ENOSPC
"""Exit code of a trial that could not write its results."""

PARENT = "FLOWBENCH_PARENT"
"""Environment of a trial: the process that it dies with; absent where an engine sees to that."""


def home() -> Path:
    """Return where state lives: `FLOWBENCH_HOME`, or `runs` in the working directory."""
    return Path(os.environ.get("FLOWBENCH_HOME", "runs")).absolute()


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class TrialResult(BaseModel):
    """How a trial ended."""

    # Written as `NaN` and `Infinity`: as null, pydantic's default, they could not be read back.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    outcome: Outcome
    reason: str = ""
    """One sentence; empty for `completed`."""
    metrics: dict[str, float] = {}
    """The fixed names of the record, e.g. `val/bits_per_dim`."""
    labels: dict[str, str] = {}
    """What the metrics mean and were made by: log_det, data, inverse, protocol, device, ..."""
    epochs: int = 0
    steps: int = 0
    seconds: float = 0.0
    """Wall-clock time of the attempt."""
    device_seconds: float = 0.0
    """Time of the fit, multiplied by the number of devices."""


class AttemptDirectory:
    """One attempt at a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = int(path.name.removeprefix("attempt-"))

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The best model, as `flowbench.families.checkpoint` writes it."""
        return self.checkpoints / "best.pt"

    def create(self) -> None:
        """Make the directory; raise FileExistsError where another driver was first."""
        self.path.mkdir(parents=True)
        self.checkpoints.mkdir()

    def append_event(self, kind: str, values: Mapping[str, Any]) -> None:
        """Add a line to `events.jsonl`: its kind, the time, and the values."""
        line = json.dumps({"kind": kind, "time": time.time(), **values})
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def events(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Return the whole lines after byte `offset`, and the offset to go on from."""
        path = self.path / "events.jsonl"
        if not path.is_file():
            return [], offset
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        events = (_event(line) for line in whole.splitlines())
        return [event for event in events if event is not None], offset + len(whole)

    def request_prune(self) -> None:
        """Ask the trial to stop at its next validation."""
        (self.path / "PRUNE").touch()

    @property
    def prune_requested(self) -> bool:
        return (self.path / "PRUNE").exists()

    def write_result(self, result: TrialResult) -> None:
        write_atomically(self.path / "result.json", result.model_dump_json(indent=1))

    def result(self) -> TrialResult | None:
        """Return the final result, or None while there is none."""
        path = self.path / "result.json"
        return TrialResult.model_validate_json(path.read_text()) if path.is_file() else None


def _event(line: bytes) -> dict[str, Any] | None:
    """Read one event; None for a line that was cut off when its writer was killed."""
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return event


class RunDirectory:
    """One run: its specification and its attempts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def id(self) -> str:
        return self.path.name

    def write_spec(self, spec: RunSpec) -> None:
        text = json.dumps(spec.model_dump(mode="json"), indent=1, sort_keys=True)
        write_atomically(self.path / "spec.json", text)

    def spec(self) -> RunSpec:
        """Read the specification.

        Raises:
            InputError: if there is no such run.
        """
        path = self.path / "spec.json"
        if not path.is_file():
            raise InputError(f"{self.id}: no such run under {self.path.parent}")
        return validated(RunSpec, json.loads(path.read_text()), where={"": str(path)})

    @property
    def speed_path(self) -> Path:
        """Where the later measurement of the model's sampling speed is."""
        return self.path / "speed.json"

    def attempts(self) -> list[AttemptDirectory]:
        """Return the attempts, oldest first."""
        found = [AttemptDirectory(path) for path in self.path.glob("attempt-*")]
        return sorted(found, key=lambda attempt: attempt.number)

    def attempt(self, number: int) -> AttemptDirectory:
        return AttemptDirectory(self.path / f"attempt-{number}")

    def result(self) -> TrialResult | None:
        """Return the result of the newest attempt that has one."""
        results = [result for attempt in self.attempts() if (result := attempt.result())]
        return results[-1] if results else None

    def finished_attempt(self) -> AttemptDirectory | None:
        """Return the newest attempt that has a model to load."""
        trained = [attempt for attempt in self.attempts() if attempt.model.is_file()]
        return trained[-1] if trained else None


def find_run(name: str) -> RunDirectory | None:
    """Return the run of that id (or at that path), or None where there is none."""
    for path in (Path(name), home() / name):
        if (path / "spec.json").is_file():
            return RunDirectory(path)
    return None


def find_model(name: str) -> Path:
    """Return the checkpoint that `name` means: a file, or the best model of a run.

    Raises:
        InputError: if it is neither, or the run has no model yet.
    """
    if Path(name).is_file():
        return Path(name)
    run = find_run(name)
    if run is None:
        raise InputError(f"{name}: neither a checkpoint file nor a run under {home()}")
    attempt = run.finished_attempt()
    if attempt is None:
        raise InputError(f"{run.id}: this run has no model (it has not validated once)")
    return attempt.model
