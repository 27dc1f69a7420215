"""What a sweep will take, by the earlier runs that are here: `sweep run --dry-run`."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from flowbench.errors import InputError
from flowbench.run_directory import RunDirectory, TrialResult, home
from flowbench.spec.run import RunSpec
from flowbench.spec.sweep import SweepSpec
from flowbench.sweep.space import trial_count


@dataclass(frozen=True)
class CellEstimate:
    """One family on one data set."""

    family: str
    data: str
    tune: int
    """Tuning runs; of a total budget, the fewest."""
    confirm: int
    seconds: float | None
    """Wall-clock time of a run; None where no earlier run is here to go by."""
    bytes: float | None
    """Disk of a run."""

    @property
    def runs(self) -> int:
        return self.tune + self.confirm


@dataclass(frozen=True)
class Estimate:
    """A whole sweep, without the measuring of speed at its end."""

    cells: tuple[CellEstimate, ...]
    slots: int

    @property
    def runs(self) -> int:
        return sum(cell.runs for cell in self.cells)

    @property
    def unknown(self) -> list[CellEstimate]:
        """The cells without an earlier run."""
        return [cell for cell in self.cells if cell.seconds is None or cell.bytes is None]

    @property
    def seconds(self) -> float:
        """Wall-clock time with every slot busy, of what is known."""
        return sum(cell.runs * (cell.seconds or 0.0) for cell in self.cells) / self.slots

    @property
    def bytes(self) -> float:
        """Disk, of what is known."""
        return sum(cell.runs * (cell.bytes or 0.0) for cell in self.cells)


@dataclass(frozen=True)
class _Earlier:
    """A completed run."""

    run: RunDirectory
    spec: RunSpec
    result: TrialResult

    @property
    def overhead(self) -> float:
        """Seconds that it took beside training: to start, and to be measured."""
        return self.result.seconds - self.result.device_seconds / self.spec.training.devices


def estimate(sweep: SweepSpec) -> Estimate:
    """Go by the completed runs of the same family on the same data, whatever their budget was."""
    earlier: defaultdict[tuple[str, str], list[_Earlier]] = defaultdict(list)
    for each in _completed_runs():
        earlier[each.spec.family.name, each.spec.data.model_dump_json()].append(each)
    cells = []
    for label, data in sweep.data_labels.items():
        for family in sweep.families:
            known = earlier[family, data.model_dump_json()]
            cell = CellEstimate(
                family=family,
                data=label,
                tune=trial_count(sweep, family),
                confirm=sweep.confirm.seeds,
                seconds=median(_seconds(sweep, each) for each in known) if known else None,
                bytes=median(_size(each.run) for each in known) if known else None,
            )
            cells.append(cell)
    return Estimate(tuple(cells), sweep.resources.slots)


def _seconds(sweep: SweepSpec, earlier: _Earlier) -> float:
    """Return what a run of the sweep takes if it is as quick as an earlier one."""
    budget, result = sweep.budget, earlier.result
    devices = sweep.resources.devices_per_trial
    training = budget.per_trial / devices
    if budget.unit == "epochs":
        training = budget.per_trial * result.device_seconds / max(result.epochs, 1) / devices
    return earlier.overhead + training


def _completed_runs() -> Iterable[_Earlier]:
    for path in home().glob("*/spec.json"):
        run = RunDirectory(path.parent)
        try:
            spec, result = run.spec(), run.result()
        except (InputError, ValueError):
            continue  # a run of another version
        if result is not None and result.outcome == "completed":
            yield _Earlier(run, spec, result)


def _size(run: RunDirectory) -> float:
    return float(sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file()))
