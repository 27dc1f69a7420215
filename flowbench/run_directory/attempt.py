"""One attempt at a run, as files."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from flowbench.run_directory.files import write_atomically
from flowbench.run_directory.records import Pace, Sign, Terms, TrialResult

Record = TypeVar("Record", bound=BaseModel)


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

    def tell_judged(self, step: int) -> None:
        """Let the trial go on from its validation at `step`; `PRUNE` says if it is to stop."""
        write_atomically(self.path / "JUDGED", str(step), durably=False)

    @property
    def judged(self) -> int:
        """The step of the last validation that the driver has judged, -1 before the first."""
        try:
            return int((self.path / "JUDGED").read_text())
        except FileNotFoundError:
            return -1

    def write_terms(self, terms: Terms) -> None:
        write_atomically(self.path / "terms.json", terms.model_dump_json())

    def terms(self) -> Terms:
        """Return what the driver asks; nothing where it wrote nothing."""
        return _read(Terms, self.path / "terms.json") or Terms()

    def write_sign(self, sign: Sign) -> None:
        write_atomically(self.path / "progress", sign.model_dump_json(), durably=False)

    def sign(self) -> Sign | None:
        """Return the last sign of life, None before the first."""
        return _read(Sign, self.path / "progress")

    def write_pace(self, pace: Pace) -> None:
        write_atomically(self.path / "pace.json", pace.model_dump_json())

    def pace(self) -> Pace | None:
        """Return how the training went, where its budget was in seconds and it came to an end."""
        return _read(Pace, self.path / "pace.json")

    def write_result(self, result: TrialResult) -> None:
        write_atomically(self.path / "result.json", result.model_dump_json(indent=1))

    def result(self) -> TrialResult | None:
        """Return the final result, or None while there is none."""
        return _read(TrialResult, self.path / "result.json")


def _event(line: bytes) -> dict[str, Any] | None:
    """Read one event; None for a line that was cut off when its writer was killed."""
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return event


def _read(record: type[Record], path: Path) -> Record | None:
    """Read a file that is written atomically; None where there is none."""
    try:
        return record.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
