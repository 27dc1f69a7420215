"""One run, as files: its specification and its attempts."""

import json
from pathlib import Path

from flowbench.errors import InputError
from flowbench.run_directory.attempt import AttemptDirectory
from flowbench.run_directory.files import home, write_atomically
from flowbench.run_directory.records import Replay, TrialResult
from flowbench.spec.run import RunSpec
from flowbench.spec.validation import validated


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

    def write_replay(self, replay: Replay) -> None:
        write_atomically(self.path / "replay.json", replay.model_dump_json())

    def replay(self) -> Replay | None:
        """Return what this run is to repeat to the last bit, None where it is a run of its own."""
        path = self.path / "replay.json"
        return Replay.model_validate_json(path.read_text()) if path.is_file() else None

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
