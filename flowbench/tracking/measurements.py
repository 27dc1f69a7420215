"""Later measurements of a run, beside its directory's attempts: each a run of the record's own.

runs/<id>/speed.json          the sampling speed, measured alone
runs/<id>/evaluate-<n>.json   what `flowbench evaluate` found, the n-th time
runs/<id>/evaluate-<n>/       its results by point
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from flowbench.run_directory import RunDirectory, TrialResult, write_atomically
from flowbench.spec.vocabulary import Stage
from flowbench.tracking.schema import POINTS_ARTIFACT


class MeasuredResult(TrialResult):
    """What was measured, and by whom where that was not the run's own driver."""

    git_commit: str = ""
    command: str = ""


@dataclass(frozen=True)
class Measurement:
    """A file with a measurement."""

    run: RunDirectory
    stage: Stage
    path: Path

    @property
    def id(self) -> str:
        """The measurement's name in the record."""
        return f"{self.run.id}.{self.path.stem}"

    @property
    def ended(self) -> float:
        """In seconds since 1970."""
        return self.path.stat().st_mtime

    @property
    def points(self) -> Path | None:
        """The file of its results by point, if it kept any."""
        path = self.path.with_suffix("") / POINTS_ARTIFACT
        return path if path.is_file() else None

    def result(self) -> MeasuredResult:
        return MeasuredResult.model_validate_json(self.path.read_text())


def measurements(run: RunDirectory) -> list[Measurement]:
    """Return a run's later measurements."""
    speed = [Measurement(run, "speed", run.speed_path)] if run.speed_path.is_file() else []
    return speed + [Measurement(run, "evaluate", path) for path in _evaluations(run)]


def write_evaluation(
    run: RunDirectory, result: MeasuredResult, points: Path | None = None
) -> Measurement:
    """Keep an evaluation of a run beside the earlier ones.

    Args:
        run: which.
        result: what was found.
        points: the file of its results by point, which is moved.
    """
    numbers = [int(path.stem.removeprefix("evaluate-")) for path in _evaluations(run)]
    path = run.path / f"evaluate-{max(numbers, default=-1) + 1}.json"
    if points is not None:
        path.with_suffix("").mkdir(exist_ok=True)
        shutil.move(points, path.with_suffix("") / POINTS_ARTIFACT)
    write_atomically(path, result.model_dump_json(indent=1))
    return Measurement(run, "evaluate", path)


def _evaluations(run: RunDirectory) -> list[Path]:
    return sorted(run.path.glob("evaluate-*.json"), key=lambda path: (len(path.name), path.name))
