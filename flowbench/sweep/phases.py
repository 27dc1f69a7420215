"""The protocol of a sweep: tune, then confirm the best with fresh seeds; speed comes last, alone.

A family with nothing to choose, on a grid of one point, is confirmed at once. Only confirming runs
touch the test split, so what is tuned on and what is reported on never mix.
"""

import math
import shlex
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowbench.run_directory import RunDirectory, TrialResult
from flowbench.spec.run import FamilySpec, RunSpec
from flowbench.spec.sweep import SweepSpec, slug
from flowbench.spec.vocabulary import Stage
from flowbench.sweep.default import default_point
from flowbench.sweep.hopeless import is_hopeless
from flowbench.sweep.leases import Leases
from flowbench.sweep.reuse import FinishedRuns
from flowbench.sweep.study import OBJECTIVE, Asked, Search
from flowbench.sweep.work import Work
from flowbench.tracking.provenance import Provenance, git_commit
from flowbench.tracking.writer import RecordWriter

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

Defaults = dict[str, dict[str, Any]]
"""For each family the default of each of its keys: what a sweep file leaves out."""

GAUSSIAN = "gaussian/val/bits_per_dim"
"""The baseline that stands for a trial whose likelihood is unknown."""


LOOK_SECONDS = 1.0
"""Time between two looks for work that other drivers may have left."""


@dataclass(frozen=True)
class Dealt:
    """A run that this driver may do."""

    number: int
    """Of the trial in its study, or of the confirming seed."""
    asked: Asked
    attempt: int
    """The least number of its next attempt."""


class Cell:
    """One family on one data set: its search, then its confirming runs.

    What is left to do is asked of the storage each time, for other drivers may work on it too; of
    its own a cell only knows what this driver has taken.
    """

    def __init__(self, search: Search, seeds: int, leases: Leases) -> None:
        self.search = search
        self.seeds = seeds
        self.leases = leases
        self.name = f"{search.sweep.name}.{slug(search.family)}.{search.label}"
        self.spent = False
        """Whether the whole budget was asked for."""
        self.tuning: set[int] = set()
        """Tuning trials that this driver runs."""
        self.confirming: set[int] = set()
        """Confirming runs that this driver runs or has finished."""
        self.baseline = math.nan

    def run_id(self, stage: Stage, number: int) -> str:
        return f"{self.name}.{number:04d}" if stage == "tune" else f"{self.name}.confirm-{number}"

    def next_tune(self, *, more: bool) -> Dealt | None:
        """Return a configuration to try: first what another driver left, then a new one.

        Args:
            more: whether a new one is wanted.
        """
        if not more and self.tuning.issuperset(self.search.running()):
            return None
        with self.leases.turn(self.name) as mine:
            if not mine:
                return None
            return self._left_behind() or (self._new() if more else None)

    def _left_behind(self) -> Dealt | None:
        for number in self.search.running():
            if number not in self.tuning:
                attempt = self.leases.take(self.run_id("tune", number))
                if attempt is not None:
                    self.tuning.add(number)
                    return Dealt(number, self.search.go_on(number), attempt)
        return None

    def _new(self) -> Dealt | None:
        asked = self.search.ask()
        if asked is None:
            self.spent = self.search.exhausted
            return None
        attempt = self.leases.take(self.run_id("tune", asked.number))
        if attempt is None:
            raise RuntimeError(f"{self.run_id('tune', asked.number)} is new, but leased")
        self.tuning.add(asked.number)
        return Dealt(asked.number, asked, attempt)

    def next_confirm(self) -> Dealt | None:
        """Return a confirming run of the best configuration; None while tuning."""
        best = self.search.best() if self.tuned else None
        if best is None:
            return None
        for number in sorted(set(range(self.seeds)) - self.confirming):
            attempt = self.leases.take(self.run_id("confirm", number))
            if attempt is not None:
                self.confirming.add(number)
                return Dealt(number, best, attempt)
        return None

    @property
    def tuned(self) -> bool:
        """Whether every tuning trial has ended, whoever ran it."""
        return self.spent and not self.search.running()

    def is_done(self, finished: Collection[str]) -> bool:
        """Say whether nothing can follow, given the runs that are finished for good."""
        if not self.tuned:
            return False
        confirming = {self.run_id("confirm", number) for number in range(self.seeds)}
        return self.search.best() is None or confirming <= set(finished)


class SweepPlan:
    """Deals out a sweep's runs and learns from their results."""

    def __init__(
        self,
        sweep: SweepSpec,
        directory: Path,
        studies: "BaseStorage",
        *,
        leases: Leases,
        record: RecordWriter,
        defaults: Defaults,
    ) -> None:
        """Open the study of every (family, data set).

        Args:
            sweep: the sweep.
            directory: where run directories are.
            studies: Optuna's storage.
            leases: which runs are this driver's.
            record: where finished runs are sent.
            defaults: each family's defaults, so that specifications are written in full.
        """
        self.sweep = sweep
        self.directory = directory
        self.leases = leases
        self.record = record
        self.defaults = defaults
        self.how_to_go_on = f"flowbench sweep resume {sweep.name}"
        self.finished_runs = FinishedRuns(directory)
        first = {
            family: default_point(sweep, family, defaults.get(family, {}))
            for family in sweep.families
        }
        self.cells = {
            (family, label): Cell(
                Search(studies, sweep, family, label, first[family]), sweep.confirm.seeds, leases
            )
            for label in sweep.data_labels
            for family in sweep.families
        }
        self.done = False
        self._look_at = 0.0
        self._dealt: dict[str, Work] = {}

    @property
    def known(self) -> int:
        """How many tuning trials have ended, and will not be handed out."""
        return sum(cell.search.finished for cell in self.cells.values())

    def next(self) -> Work | None:
        """Return the next run: cells take turns at tuning, and confirm once they are tuned."""
        if time.monotonic() < self._look_at:
            return None
        work = self._next()
        if work is None:
            self._look_at = time.monotonic() + LOOK_SECONDS
            finished = self.leases.finished()
            self.done = all(cell.is_done(finished) for cell in self.cells.values())
        else:
            self._dealt[work.run.id] = work
        return work

    def _next(self) -> Work | None:
        for cell in sorted(self.cells.values(), key=lambda cell: cell.search.begun):
            dealt = cell.next_tune(more=not self._tuned(cell))
            if dealt is not None:
                return self._work(cell, "tune", dealt)
        for cell in self.cells.values():
            dealt = cell.next_confirm()
            if dealt is not None:
                return self._work(cell, "confirm", dealt)
        return None

    def _tuned(self, cell: Cell) -> bool:
        """Say whether a cell has no new configuration to try, at least for now."""
        rule, data = self.sweep.stop_hopeless, cell.search.label
        if cell.spent or rule is None:
            return cell.spent
        rivals = [each.search for each in self.cells.values() if each.search.label == data]
        hopeless = is_hopeless(cell.search, rivals, rule)
        cell.spent = hopeless and not cell.search.running()  # one that runs may change it
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
        """Tell Optuna, and send the run to the record."""
        cell, number, name = self._cell(work), _number(work), work.run.id
        self._look_at = 0.0
        if not self.leases.holds(name):
            self._forget(name)  # another driver took it over, and tells of it
            return
        if work.provenance.stage == "tune":
            cell.search.tell(number, result, baseline=cell.baseline)
            cell.tuning.discard(number)
        self.leases.finish(name)
        self._dealt.pop(name, None)
        self.finished_runs.add(work.run, work.spec)
        self.record.add([work.run])

    def tick(self) -> Collection[str]:
        """Renew the leases; return the runs that another driver has taken over."""
        taken = self.leases.renew()
        for name in taken:
            self._forget(name)
        return taken

    def _forget(self, name: str) -> None:
        """Give a run up to another driver; it may come back."""
        work = self._dealt.pop(name, None)
        if work is not None:
            cell = self._cell(work)
            cell.tuning.discard(_number(work))
            if work.provenance.stage == "confirm":
                cell.confirming.discard(_number(work))

    def to_measure(self) -> list[RunDirectory]:
        """Return the runs whose sampling speed stands for their cell: the first confirmed of each.

        Where nothing is confirmed, the best tuning trial stands for it.
        """
        chosen = [self._confirmed(cell) or self._best_run(cell) for cell in self.cells.values()]
        return [run for run in chosen if run is not None and run.finished_attempt() is not None]

    def keep_best_models(self) -> None:
        """Put the model of each cell's best trial into the record."""
        for cell in self.cells.values():
            best = self._best_run(cell)
            if best is not None:
                self.record.add_model(best)

    def _confirmed(self, cell: Cell) -> RunDirectory | None:
        """Return the first confirming run that completed."""
        for number in range(cell.seeds):
            run = self._run(cell, "confirm", number)
            result = run.result()
            if result is not None and result.outcome == "completed":
                return run
        return None

    def _best_run(self, cell: Cell) -> RunDirectory | None:
        if cell.search.trials == 0:
            return None
        best = cell.search.best()
        return None if best is None else self._run(cell, "tune", best.number)

    def _work(self, cell: Cell, stage: Stage, dealt: Dealt) -> Work:
        """Describe a run in full; a finished one of the same specification is taken over."""
        search, sweep, number = cell.search, self.sweep, dealt.number
        tuning = stage == "tune"
        spec = sweep.run_spec(
            search.family,
            sweep.data_labels[search.label],
            dealt.asked.values,
            model_seed=sweep.tune_seed if tuning else sweep.confirm_seed(number),
            split="validation" if tuning else "test",
        )
        spec = resolved(spec, self.defaults)
        run = self._run(cell, stage, number)
        provenance = Provenance(
            stage=stage,
            sweep=sweep.name,
            family=search.family,
            data=search.label,
            trial=number,
            default=dealt.asked.default if tuning else "",
            budget_unit=sweep.budget.unit,
            budget_per_trial=sweep.budget.per_trial,
            budget_trials=search.trials,
            budget_total=sweep.budget.total,
            git_commit=git_commit(),
            command=shlex.join(sys.argv),
        )
        self.finished_runs.take_over(run, spec, provenance)
        judged = tuning and sweep.pruner != "none"
        return Work(run, spec, provenance, dealt.attempt, judged=judged)

    def _run(self, cell: Cell, stage: Stage, number: int) -> RunDirectory:
        return RunDirectory(self.directory / cell.run_id(stage, number))

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
