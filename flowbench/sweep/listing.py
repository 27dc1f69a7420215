"""The runs that are here, each in a line."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flowbench.errors import InputError
from flowbench.run_directory import RunDirectory, home
from flowbench.spec.run import DataSpec
from flowbench.spec.sweep import slug
from flowbench.sweep.status import run_state
from flowbench.tracking.provenance import Provenance


@dataclass(frozen=True)
class ListedRun:
    """A run as `flowbench runs list` shows it."""

    id: str
    stage: str
    family: str
    data: str
    outcome: str
    """How it ended; `running` or `interrupted` where it has not."""
    bits_per_dim: float | None
    """On test data where the run read them, else on validation data."""
    seconds: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def list_runs(sweep: str | None = None) -> Iterator[ListedRun]:
    """Yield the runs under the home directory, or those of one sweep, by name.

    Raises:
        InputError: if there is no such sweep.
    """
    if sweep is not None and not (home() / sweep / "sweep.json").is_file():
        raise InputError(f"{sweep}: no such sweep under {home()}")
    for path in sorted(home().glob(f"{sweep}.*/spec.json" if sweep else "*/spec.json")):
        run = RunDirectory(path.parent)
        try:
            spec, why = run.spec(), Provenance.read(run)
        except InputError:
            continue  # a run of another version
        result = run.result()
        metrics = result.metrics if result else {}
        yield ListedRun(
            id=run.id,
            stage=why.stage,
            family=spec.family.name,
            data=why.data or _name(spec.data),
            outcome=run_state(run),
            bits_per_dim=metrics.get("test/bits_per_dim", metrics.get("val/bits_per_dim")),
            seconds=result.seconds if result else None,
        )


def _name(data: DataSpec) -> str:
    return slug(data.name or Path(data.path or data.train or "").stem)
