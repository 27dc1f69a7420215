"""One Optuna study for each (family, data set), asked and told."""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowbench.spec.sweep import SweepSpec
from flowbench.spec.vocabulary import Outcome
from flowbench.sweep.constraints import FAILURE, SHUNNED
from flowbench.sweep.pruners import pruner
from flowbench.sweep.samplers import sampler
from flowbench.sweep.space import grid, suggest, trial_count

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, TrialState

OBJECTIVE = "val/bits_per_dim"


def open_storage(path: Path) -> "RDBStorage":
    """Open Optuna's SQLite database in WAL mode.

    With `synchronous=NORMAL` a trial's writes take 0.03 s instead of 0.30 s, and a crash of the
    machine (not of a process) can lose the last ones, which `resume` reads from run directories.
    """
    import optuna
    from optuna.storages import RDBStorage
    from sqlalchemy import event

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 30}})

    def quicken(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(storage.engine, "connect", quicken)
    storage.engine.dispose()  # connections made before the listener was there
    return storage


@dataclass(frozen=True)
class Asked:
    """A configuration to try."""

    number: int
    values: dict[str, Any]


class Search:
    """The search of one family on one data set."""

    def __init__(self, storage: "RDBStorage", sweep: SweepSpec, family: str, label: str) -> None:
        import optuna

        self.sweep = sweep
        self.family = family
        self.label = label
        self.space = sweep.space(family)
        self.fixed = sweep.families[family].fixed
        self.study: Study = optuna.create_study(
            storage=storage,
            study_name=f"{sweep.name}/{family}/{label}",
            direction="minimize",
            load_if_exists=True,
            sampler=sampler(sweep, family, label, 0),
            pruner=pruner(sweep, family),
        )
        self._live: dict[int, Trial] = {}
        if sweep.sampler == "grid":
            self._enqueue_grid()

    @property
    def trials(self) -> int:
        """How many trials this search has."""
        return trial_count(self.sweep, self.family)

    @property
    def begun(self) -> int:
        """How many trials were asked for."""
        from optuna.trial import TrialState

        trials = self.study.get_trials(deepcopy=False)
        return sum(trial.state != TrialState.WAITING for trial in trials)

    def running(self) -> list[Asked]:
        """Return the trials that an earlier driver asked for and did not tell of."""
        from optuna import Trial
        from optuna.trial import TrialState

        asked = []
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.study.sampler = self._sampler(frozen.number)
            trial = Trial(self.study, frozen._trial_id)
            self._live[frozen.number] = trial
            asked.append(Asked(frozen.number, self._suggest(trial)))
        return asked

    def ask(self) -> Asked | None:
        """Return the next configuration, or None where the budget is spent.

        The sampler is seeded anew from the sweep's seed and the trial's number: a sweep of one
        slot gives the same trials each time, and after any interruption.
        """
        begun = self.begun
        if begun >= self.trials:
            return None
        self.study.sampler = self._sampler(begun)
        trial = self.study.ask()
        self._live[trial.number] = trial
        return Asked(trial.number, self._suggest(trial))

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Tell of a validation; return whether the trial should stop."""
        trial = self._live[number]
        if self.sweep.pruner == "none" or not math.isfinite(value):
            return False
        with warnings.catch_warnings():  # a resumed trial reports its first epochs again
            warnings.simplefilter("ignore")
            trial.report(value, epoch)
        return bool(trial.should_prune())

    def tell(
        self, number: int, outcome: Outcome, value: float | None, *, reason: str, baseline: float
    ) -> None:
        """Tell how a trial ended, so that the sampler learns from every end it can learn from.

        Args:
            number: the trial.
            outcome: how it ended.
            value: its objective, where it has one.
            reason: kept as the trial's user attribute.
            baseline: the Gaussian's bits/dim, the worst value to assume while none is known; NaN
                where the data set has none.
        """
        from optuna.trial import TrialState

        trial = self._live.pop(number)
        trial.set_user_attr("outcome", outcome)
        if reason:
            trial.set_user_attr("reason", reason)
        finite = value if value is not None and math.isfinite(value) else None
        if outcome == "completed" and finite is None:
            outcome = "diverged"
        if outcome == "completed":
            trial.set_constraint(FAILURE, 0.0)
            self.study.tell(trial, finite)
        elif outcome in SHUNNED:
            trial.set_constraint(FAILURE, 1.0)
            kept = finite if outcome == "not_invertible" else None
            self.study.tell(trial, self._worst(baseline) if kept is None else kept)
        elif outcome == "pruned":
            trial.set_constraint(FAILURE, 0.0)
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, state=TrialState.FAIL)

    def best(self) -> Asked | None:
        """Return the best sound configuration; None where every trial failed."""
        from optuna.trial import TrialState

        sound = self._sound(TrialState.COMPLETE)
        if not sound:
            return None
        best = min(sound, key=lambda trial: (trial.value, trial.number))
        return Asked(best.number, dict(best.user_attrs["values"]))

    def _suggest(self, trial: "Trial") -> dict[str, Any]:
        values = suggest(trial, self.space, self.fixed)
        trial.set_user_attr("values", values)
        return values

    def _worst(self, baseline: float) -> float:
        """Return the worst finite value seen so far, else the baseline's, else `WORST`."""
        from optuna.trial import TrialState

        seen = [
            trial.value
            for trial in self._sound(TrialState.COMPLETE, TrialState.PRUNED)
            if trial.value is not None and math.isfinite(trial.value)
        ]
        return max(seen, default=baseline if math.isfinite(baseline) else WORST)

    def _sound(self, *states: "TrialState") -> "list[FrozenTrial]":
        """Return the trials in these states whose value is their own and violates nothing."""
        return [
            trial
            for trial in self.study.get_trials(deepcopy=False, states=states)
            if all(violation <= 0 for violation in trial.constraints.values())
        ]

    def _sampler(self, number: int) -> "BaseSampler":
        return sampler(self.sweep, self.family, self.label, number)

    def _enqueue_grid(self) -> None:
        if self.study.user_attrs.get("grid"):
            return
        for point in grid(self.space, self.fixed)[: self.trials]:
            self.study.enqueue_trial(point, skip_if_exists=True)
        self.study.set_user_attr("grid", True)


WORST = 1e3
"""Bits/dim told for a failure where nothing else is known."""
