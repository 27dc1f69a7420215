"""The protocol of a sweep: tune, then confirm the best with fresh seeds; speed comes last, alone.

Only confirming runs touch the test split, so what is tuned on and what is reported on never mix.
"""

import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowbench.run_directory import RunDirectory, TrialResult
from flowbench.spec.run import FamilySpec, RunSpec
from flowbench.spec.sweep import SweepSpec, slug
from flowbench.spec.vocabulary import Stage
from flowbench.sweep.driver import Work
from flowbench.sweep.hopeless import is_hopeless
from flowbench.sweep.reuse import FinishedRuns
from flowbench.sweep.study import OBJECTIVE, Asked, Search
from flowbench.tracking.provenance import Provenance, git_commit
from flowbench.tracking.record import Recorder

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

Defaults = dict[str, dict[str, Any]]
"""For each family the default of each of its keys: what a sweep file leaves out."""

GAUSSIAN = "gaussian/val/bits_per_dim"
"""The baseline that stands for a trial whose likelihood is unknown."""


class Cell:
    """One family on one data set: its search, then its confirming runs."""

    def __init__(self, search: Search, seeds: int) -> None:
        self.search = search
        self.recovered = search.running()
        self.open: set[int] = set()
        """Tuning trials that were handed out and have not ended."""
        self.spent = False
        """Whether the whole budget was asked for."""
        self.unconfirmed = list(range(seeds))
        """Confirming runs that were not handed out."""
        self.confirmed: dict[int, RunDirectory] = {}
        """Confirming runs that completed."""
        self.baseline = math.nan

    def next_tune(self) -> Asked | None:
        """Return a configuration to try: first what an earlier driver left, then a new one."""
        if self.recovered:
            asked: Asked | None = self.recovered.pop(0)
        else:
            asked = None if self.spent else self.search.ask()
            self.spent = asked is None and self.search.exhausted
        if asked is not None:
            self.open.add(asked.number)
        return asked

    def next_confirm(self) -> tuple[int, Asked] | None:
        """Return a confirming run and its configuration; None while tuning, or when all are out."""
        if not self.spent or self.open or not self.unconfirmed:
            return None
        best = self.search.best()
        if best is None:
            self.unconfirmed.clear()
            return None
        return self.unconfirmed.pop(0), best


class SweepPlan:
    """Deals out a sweep's runs and learns from their results."""

    def __init__(
        self,
        sweep: SweepSpec,
        directory: Path,
        storage: "RDBStorage",
        recorder: Recorder,
        defaults: Defaults,
    ) -> None:
        """Open the study of every (family, data set).

        Args:
            sweep: the sweep.
            directory: where run directories are.
            storage: Optuna's.
            recorder: where finished runs are mirrored.
            defaults: each family's defaults, so that specifications are written in full.
        """
        self.sweep = sweep
        self.directory = directory
        self.recorder = recorder
        self.defaults = defaults
        self.retries = sweep.resources.retries
        self.how_to_go_on = f"flowbench sweep resume {sweep.name}"
        self.finished_runs = FinishedRuns(directory)
        self.cells = {
            (family, label): Cell(Search(storage, sweep, family, label), sweep.confirm.seeds)
            for label in sweep.data_labels
            for family in sweep.families
        }

    @property
    def known(self) -> int:
        """How many tuning trials ended under an earlier driver, and will not be handed out."""
        return sum(cell.search.begun - len(cell.recovered) for cell in self.cells.values())

    def next(self) -> Work | None:
        """Return the next run: cells take turns at tuning, and confirm once they are tuned."""
        tuning = [cell for cell in self.cells.values() if cell.recovered or not self._tuned(cell)]
        for cell in sorted(tuning, key=lambda cell: cell.search.begun):
            asked = cell.next_tune()
            if asked is not None:
                return self._work(cell, "tune", asked.number, asked)
        for cell in self.cells.values():
            confirming = cell.next_confirm()
            if confirming is not None:
                return self._work(cell, "confirm", *confirming)
        return None

    def _tuned(self, cell: Cell) -> bool:
        """Say whether a cell has no new configuration to try, at least for now."""
        rule, data = self.sweep.stop_hopeless, cell.search.label
        if cell.spent or rule is None:
            return cell.spent
        rivals = [each.search for each in self.cells.values() if each.search.label == data]
        hopeless = is_hopeless(cell.search, rivals, rule)
        cell.spent = hopeless and not cell.open  # one that still runs may change it
        return hopeless

    def event(self, work: Work, event: dict[str, Any]) -> bool:
        """Take note of what a run said; a tuning trial may have to be pruned."""
        cell = self._cell(work)
        if event["kind"] == "start":
            cell.baseline = event.get("baselines", {}).get(GAUSSIAN, math.nan)
        if event["kind"] != "validation" or work.provenance.stage != "tune":
            return False
        value = event["metrics"].get(OBJECTIVE, math.nan)
        return cell.search.report(_number(work), event["epoch"], value)

    def finished(self, work: Work, result: TrialResult) -> None:
        """Tell Optuna, and mirror the run into the record."""
        cell, number = self._cell(work), _number(work)
        if work.provenance.stage == "tune":
            cell.search.tell(number, result, baseline=cell.baseline)
            cell.open.discard(number)
        elif result.outcome == "completed":
            cell.confirmed[number] = work.run
        self.finished_runs.add(work.run, work.spec)
        self.recorder.sync([work.run])

    def tick(self) -> tuple[()]:
        return ()

    @property
    def done(self) -> bool:
        return True

    def to_measure(self) -> list[RunDirectory]:
        """Return the runs whose sampling speed stands for their cell: the first confirmed of each.

        Where nothing is confirmed, the best tuning trial stands for it.
        """
        chosen = [
            cell.confirmed[min(cell.confirmed)] if cell.confirmed else self._best_run(cell)
            for cell in self.cells.values()
        ]
        return [run for run in chosen if run is not None and run.finished_attempt() is not None]

    def keep_best_models(self) -> None:
        """Put the model of each cell's best trial into the record."""
        for cell in self.cells.values():
            best = self._best_run(cell)
            if best is not None:
                self.recorder.keep_model(best)

    def _best_run(self, cell: Cell) -> RunDirectory | None:
        best = cell.search.best()
        return None if best is None else self._run(cell, f"{best.number:04d}")

    def _work(self, cell: Cell, stage: Stage, number: int, asked: Asked) -> Work:
        """Describe a run in full; a finished one of the same specification is taken over."""
        search, sweep = cell.search, self.sweep
        tuning = stage == "tune"
        spec = sweep.run_spec(
            search.family,
            sweep.data_labels[search.label],
            asked.values,
            model_seed=sweep.tune_seed if tuning else sweep.confirm_seed(number),
            split="validation" if tuning else "test",
        )
        spec = resolved(spec, self.defaults)
        run = self._run(cell, f"{number:04d}" if tuning else f"confirm-{number}")
        provenance = Provenance(
            stage=stage,
            sweep=sweep.name,
            family=search.family,
            data=search.label,
            trial=number,
            budget_unit=sweep.budget.unit,
            budget_per_trial=sweep.budget.per_trial,
            budget_trials=search.trials,
            git_commit=git_commit(),
            command=shlex.join(sys.argv),
        )
        self.finished_runs.take_over(run, spec, provenance)
        return Work(run, spec, provenance)

    def _run(self, cell: Cell, name: str) -> RunDirectory:
        search = cell.search
        family = slug(search.family)
        return RunDirectory(self.directory / f"{self.sweep.name}.{family}.{search.label}.{name}")

    def _cell(self, work: Work) -> Cell:
        return self.cells[work.provenance.family, work.provenance.data]


def resolved(spec: RunSpec, defaults: Defaults) -> RunSpec:
    """Fill in the family's defaults, so that the same run has the same hash however it is asked."""
    family = spec.family
    values = {**defaults.get(family.name, {}), **family.hyperparameters}
    return spec.model_copy(update={"family": FamilySpec(name=family.name, **values)})


def _number(work: Work) -> int:
    if work.provenance.trial is None:
        raise ValueError(f"{work.run.id} has no trial number")
    return work.provenance.trial
