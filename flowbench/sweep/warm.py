"""Warm starts: the best configurations of an earlier sweep are tried first.

They are run again, not copied: an earlier sweep may have trained longer, or on other data, and its
values would mislead the sampler. (A run of the very same specification is taken over for nothing.)
"""

from typing import TYPE_CHECKING, Any

from flowbench.errors import InputError
from flowbench.spec.sweep import SweepSpec
from flowbench.sweep.samplers import startup_trials
from flowbench.sweep.space import fitting

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def earlier_points(
    storage: "BaseStorage", sweep: SweepSpec, family: str, label: str
) -> list[dict[str, Any]]:
    """Return the best configurations of the earlier sweep that fit, as Optuna's parameters.

    They take the place of the random trials that a search begins with, and are as many at most.

    Args:
        storage: where both sweeps' studies are.
        sweep: the new sweep.
        family: which search of it.
        label: on which data set.
    """
    import optuna

    name = f"{sweep.warm_start}/{family}/{label}"
    if name not in optuna.get_all_study_names(storage):
        return []
    trials = optuna.load_study(study_name=name, storage=storage).get_trials(
        deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)
    )
    sound = [trial for trial in trials if all(v <= 0 for v in trial.constraints.values())]
    space, fixed = sweep.space(family), sweep.families[family].fixed
    points: list[dict[str, Any]] = []
    for trial in sorted(sound, key=lambda trial: (trial.values[0], trial.number)):
        point = fitting(space, fixed, trial.user_attrs["values"])
        if point is not None and point not in points:
            points.append(point)
    return points[: startup_trials(sweep, family)]


def check_warm_start(storage: "BaseStorage", sweep: SweepSpec) -> None:
    """Refuse a warm start that would warm nothing.

    Raises:
        InputError: if no trial of the earlier sweep fits any search of the new one.
    """
    if sweep.warm_start is None:
        return
    searches = [(family, label) for family in sweep.families for label in sweep.data_labels]
    if not any(earlier_points(storage, sweep, *search) for search in searches):
        raise InputError(
            f"sweep {sweep.name}: warm_start = {sweep.warm_start!r}: no completed trial of such a"
            " sweep fits this one's families, data sets and search spaces"
        )
