"""Why a run exists and who asked for it: `provenance.json` beside its specification."""

import subprocess
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from flowbench.run_directory import RunDirectory, write_atomically
from flowbench.spec.vocabulary import Stage


class Provenance(BaseModel):
    """What the record says of a run that its specification does not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: Stage = "single"
    sweep: str = ""
    family: str = ""
    """The family as its sweep names it; empty outside sweeps."""
    data: str = ""
    """The data set as its sweep names it; empty outside sweeps."""
    trial: int | None = None
    budget_unit: str = ""
    budget_per_trial: float | None = None
    budget_trials: int | None = None
    budget_total: float | None = None
    """What all trials of the search may take, where that limits them instead of their number."""
    reuses: str = ""
    default: str = ""
    """`yes` or `nearest` on the tuning trial that stands for the family's default."""
    git_commit: str = ""
    command: str = ""

    @staticmethod
    def path(run: RunDirectory) -> Path:
        return run.path / "provenance.json"

    def write(self, run: RunDirectory) -> None:
        write_atomically(self.path(run), self.model_dump_json(indent=1))

    @classmethod
    def read(cls, run: RunDirectory) -> "Provenance":
        """Return a run's provenance; the empty one where none was written."""
        path = cls.path(run)
        return cls.model_validate_json(path.read_text()) if path.is_file() else cls()


@cache
def git_commit() -> str:
    """Return the commit of the code that runs, with `+changes` where it differs; else empty."""
    here = Path(__file__).parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + ("+changes" if changed else "")


def _git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - fixed arguments
        ["git", *arguments],  # noqa: S607 - whichever git the user has
        cwd=directory, capture_output=True, text=True, check=True, timeout=10,
    )  # fmt: skip
    return done.stdout.strip()
