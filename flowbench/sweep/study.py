"""One Optuna study for each (family, data set), asked and told."""

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowbench.run_directory import TrialResult
from flowbench.spec.search import Objective
from flowbench.spec.sweep import SweepSpec
from flowbench.spec.vocabulary import SAMPLING_TIME
from flowbench.sweep.constraints import FAILURE, SHUNNED, violations
from flowbench.sweep.default import DefaultPoint
from flowbench.sweep.pruners import pruner
from flowbench.sweep.samplers import sampler
from flowbench.sweep.space import grid, parameters, suggest, trial_count
from flowbench.sweep.warm import earlier_points

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, TrialState

OBJECTIVE = "val/bits_per_dim"
MEASURED: dict[Objective, str] = {"bits_per_dim": OBJECTIVE, "sampling_time": SAMPLING_TIME}
"""The metric of each objective."""


@dataclass(frozen=True)
class Asked:
    """A configuration to try."""

    number: int
    values: dict[str, Any]
    default: str = ""
    """Its likeness to the family's default, where it stands for that."""


class Search:
    """The search of one family on one data set."""

    def __init__(
        self,
        storage: "BaseStorage",
        sweep: SweepSpec,
        family: str,
        label: str,
        default: DefaultPoint | None = None,
    ) -> None:
        """Open the study, or make it.

        Args:
            storage: Optuna's.
            sweep: the sweep.
            family: which of its families.
            label: which of its data sets.
            default: what to try first, in a new study.
        """
        import optuna

        self.storage = storage
        self.sweep = sweep
        self.family = family
        self.label = label
        self.space = sweep.space(family)
        self.fixed = sweep.families[family].fixed
        self.study: Study = optuna.create_study(
            storage=storage,
            study_name=f"{sweep.name}/{family}/{label}",
            directions=["minimize"] * len(sweep.objectives),
            load_if_exists=True,
            sampler=sampler(sweep, family, label, 0),
            pruner=pruner(sweep, family),
        )
        self._live: dict[int, Trial] = {}
        self._enqueue(default)

    @property
    def trials(self) -> int | None:
        """How many trials this search has; None where its budget is a total."""
        return None if self.sweep.budget.total else trial_count(self.sweep, self.family)

    @property
    def begun(self) -> int:
        """How many trials were asked for."""
        return len(self.begun_trials)

    @property
    def exhausted(self) -> bool:
        """Whether no trial can follow, however those end that run."""
        return not self._has_room(running=0.0)

    def _has_room(self, running: float) -> bool:
        """Say whether the budget pays for another trial where each running one takes `running`."""
        budget = self.sweep.budget
        trials = self.begun_trials
        if budget.total is None:
            return len(trials) < trial_count(self.sweep, self.family)
        taken = sum(
            trial.user_attrs.get("spent", 0.0) if trial.state.is_finished() else running
            for trial in trials
        )
        return taken + budget.per_trial <= budget.total

    def running(self) -> list[int]:
        """Return the trials that were asked for, by whichever driver, and not told of."""
        from optuna.trial import TrialState

        return [t.number for t in self.begun_trials if t.state == TrialState.RUNNING]

    def go_on(self, number: int) -> Asked:
        """Return a trial that another driver asked for and left."""
        from optuna import Trial

        trials = self.study.get_trials(deepcopy=False)
        left = next(trial for trial in trials if trial.number == number)
        self.study.sampler = self._sampler(number)
        trial = self._live[number] = Trial(self.study, left._trial_id)
        return self._asked(trial)

    def ask(self) -> Asked | None:
        """Return the next configuration, or None where the budget does not pay for one now.

        The sampler is seeded anew from the sweep's seed and the trial's number: a sweep of one
        slot gives the same trials each time, and after any interruption.
        """
        from optuna.trial import TrialState

        if not self._has_room(running=self.sweep.budget.per_trial):
            return None
        self.study.sampler = self._sampler(self.begun)
        trial = self.study.ask()
        if self.trials is not None and trial.number >= self.trials:  # another driver was first
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        self._live[trial.number] = trial
        return self._asked(trial)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Tell of a validation; return whether the trial should stop."""
        trial = self._live[number]
        if self.sweep.pruner == "none" or not math.isfinite(value):
            return False
        with warnings.catch_warnings():  # a resumed trial reports its first epochs again
            warnings.simplefilter("ignore")
            trial.report(value, epoch)
        return bool(trial.should_prune())

    def tell(self, number: int, result: TrialResult, *, baseline: float) -> None:
        """Tell how a trial ended, so that the sampler learns from every end it can learn from.

        Args:
            number: the trial.
            result: how it ended, and what was measured.
            baseline: the Gaussian's bits/dim, the worst value to assume while none is known; NaN
                where the data set has none.
        """
        from optuna.trial import TrialState

        trial = self._live.pop(number)
        outcome = result.outcome
        trial.set_user_attr("outcome", outcome)
        trial.set_user_attr("spent", self._spent(result))
        if result.reason:
            trial.set_user_attr("reason", result.reason)
        own = [result.metrics.get(MEASURED[name], math.nan) for name in self.sweep.objectives]
        if outcome == "completed" and not all(math.isfinite(value) for value in own):
            outcome = "diverged"
        if outcome == "completed":
            _constrain(trial, FAILURE, 0.0)
            for name, decades in violations(result.metrics, self.sweep.constraints).items():
                _constrain(trial, name, decades)
            self.study.tell(trial, own)
        elif outcome in SHUNNED:
            _constrain(trial, FAILURE, 1.0)
            keep = outcome == "not_invertible"
            told = [
                value if keep and math.isfinite(value) else worst
                for value, worst in zip(own, self._worst(baseline), strict=True)
            ]
            self.study.tell(trial, told)
        elif outcome == "pruned":
            _constrain(trial, FAILURE, 0.0)
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, state=TrialState.FAIL)

    def best(self) -> Asked | None:
        """Return the configuration of the best likelihood that violates nothing, None without.

        Where there is nothing to choose it is the only one.
        """
        if self.trials == 0:
            return Asked(0, {})
        best = self._best()
        return None if best is None else Asked(best.number, dict(best.user_attrs["values"]))

    @property
    def best_value(self) -> float:
        """Bits/dim of the best configuration; infinite where there is none."""
        best = self._best()
        return math.inf if best is None else float(best.values[0])

    @property
    def finished(self) -> int:
        """How many trials have ended, however they did."""
        return sum(trial.state.is_finished() for trial in self.begun_trials)

    def _best(self) -> "FrozenTrial | None":
        from optuna.trial import TrialState

        sound = self._sound(TrialState.COMPLETE)
        return min(sound, key=lambda trial: (trial.values[0], trial.number), default=None)

    @property
    def begun_trials(self) -> "list[FrozenTrial]":
        """Return the trials that were asked for, without those that were over the budget."""
        from optuna.trial import TrialState

        limit = math.inf if self.trials is None else self.trials
        return [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state != TrialState.WAITING and trial.number < limit
        ]

    def _spent(self, result: TrialResult) -> float:
        """Return what a trial takes of a total: what it took, or in full where it failed."""
        if result.outcome not in ("completed", "pruned"):
            return self.sweep.budget.per_trial
        in_epochs = self.sweep.budget.unit == "epochs"
        return max(result.epochs, 1) if in_epochs else result.device_seconds

    def _asked(self, trial: "Trial") -> Asked:
        values = suggest(trial, self.space, self.fixed)
        trial.set_user_attr("values", values)
        return Asked(trial.number, values, trial.user_attrs.get("default", ""))

    def _worst(self, baseline: float) -> list[float]:
        """Return the worst finite value of each objective so far, else the baseline or `WORST`."""
        from optuna.trial import TrialState

        known = self._sound(TrialState.COMPLETE, TrialState.PRUNED)
        seen = [trial.values for trial in known if trial.values is not None]
        unknown = [WORST] * len(self.sweep.objectives)
        if math.isfinite(baseline):
            unknown[0] = baseline
        return [
            max((v[i] for v in seen if math.isfinite(v[i])), default=unknown[i])
            for i in range(len(unknown))
        ]

    def _sound(self, *states: "TrialState") -> "list[FrozenTrial]":
        """Return the trials in these states whose value is their own and violates nothing."""
        return [
            trial
            for trial in self.study.get_trials(deepcopy=False, states=states)
            if all(violation <= 0 for violation in trial.constraints.values())
        ]

    def _sampler(self, number: int) -> "BaseSampler":
        return sampler(self.sweep, self.family, self.label, number)

    def _enqueue(self, default: DefaultPoint | None) -> None:
        """Put what is to be tried first into the study, once; the default is marked."""
        sweep = self.sweep
        if self.study.user_attrs.get("enqueued"):
            return
        first = None if default is None else parameters(self.space, default.values)
        points = []
        if sweep.sampler == "grid":
            points = grid(self.space, self.fixed)[: trial_count(sweep, self.family)]
        elif first is not None:
            points = [first]
        if sweep.warm_start is not None:
            points += earlier_points(self.storage, sweep, self.family, self.label)
        for point in points:
            mark = {"default": default.likeness} if default and point == first else None
            self.study.enqueue_trial(point, user_attrs=mark, skip_if_exists=True)
        self.study.set_user_attr("enqueued", True)


def _constrain(trial: "Trial", name: str, violation: float) -> None:
    """Set a constraint, unless a driver that was killed then had done so: Optuna would complain."""
    if name not in trial.constraints:
        trial.set_constraint(name, violation)


WORST = 1e3
"""Bits/dim (or milliseconds) told for a failure where nothing else is known."""
