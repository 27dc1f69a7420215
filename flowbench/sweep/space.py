"""From a sweep's distributions to Optuna's suggestions, one key after the other."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flowbench.spec.distributions import Distribution
from flowbench.spec.sweep import SweepSpec

if TYPE_CHECKING:
    from optuna import Trial

Space = Mapping[str, Distribution]


def suggest(trial: "Trial", space: Space, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Draw every key that applies, parents before children.

    Args:
        trial: Optuna's trial.
        space: the keys in the order of `SweepSpec.space`.
        fixed: the family's fixed values, which `when` may refer to.

    Returns:
        The searched values by their keys in the specification.
    """
    values: dict[str, Any] = {}
    for key, distribution in space.items():
        if distribution.applies({**fixed, **values}):
            values[key] = _suggest_one(trial, key, distribution)
    return values


def _suggest_one(trial: "Trial", key: str, distribution: Distribution) -> Any:
    low, high = distribution.low, distribution.high
    match distribution.kind:
        case "choice":
            by_word = {_word(choice): choice for choice in distribution.choices}
            return by_word[trial.suggest_categorical(key, list(by_word))]
        case "int":
            return trial.suggest_int(key, int(low), int(high))
        case "uniform":
            return trial.suggest_float(key, low, high)
        case "log":
            return trial.suggest_float(key, low, high, log=True)
        case "log_gap_to_one":
            return 1 - trial.suggest_float(gap_name(key), 1 - high, 1 - low, log=True)


def gap_name(key: str) -> str:
    """Return the name of the quantity that is sampled for a key near one: the rest to one."""
    return f"1 - {key}"


def grid(space: Space, fixed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every combination of the keys that apply together, as Optuna's parameters.

    Optuna's own grid sampler raises under ask and tell at its end, so the grid is enqueued.
    """
    points: list[dict[str, Any]] = [{}]
    for key, distribution in space.items():
        longer = []
        for point in points:
            if not distribution.applies({**fixed, **point}):
                longer.append(point)
                continue
            longer += [{**point, key: value} for value in distribution.grid() or []]
        points = longer
    return [parameters(space, point) for point in points]


def trial_count(sweep: SweepSpec, family: str) -> int:
    """Return how many tuning trials a family has on each data set; of a total, the fewest.

    None where a grid leaves nothing to choose: the family is confirmed at once.
    """
    budget = sweep.budget
    if budget.total is not None:
        return int(budget.total // budget.per_trial)
    wanted = budget.trials
    if sweep.sampler != "grid":
        return wanted or 0
    space = sweep.space(family)
    if not space and sweep.confirm.seeds:
        return 0
    points = len(grid(space, sweep.families[family].fixed))
    return min(points, wanted or points)


def fitting(
    space: Space, fixed: Mapping[str, Any], found: Mapping[str, Any]
) -> "dict[str, Any] | None":
    """Return a configuration as Optuna's parameters of this space, or None where it does not fit.

    Args:
        space: the keys in the order of `SweepSpec.space`.
        fixed: the family's fixed values, which the configuration must not contradict.
        found: a configuration from elsewhere; keys that do not apply here are left out.
    """
    if any(key in found and found[key] != value for key, value in fixed.items()):
        return None
    point: dict[str, Any] = {}
    for key, distribution in space.items():
        if distribution.applies({**fixed, **point}):
            if key not in found or not distribution.holds(found[key]):
                return None
            point[key] = found[key]
    return parameters(space, point)


def parameters(space: Space, point: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by their keys as Optuna knows them."""
    return dict(_parameter(key, space[key], value) for key, value in point.items())


def _parameter(key: str, distribution: Distribution, value: Any) -> tuple[str, Any]:
    low, high = distribution.low, distribution.high
    match distribution.kind:
        case "choice":
            return key, _word(value)
        case "log_gap_to_one":
            # One minus a bound is not the bound to the last bit.
            return gap_name(key), min(max(1 - value, 1 - high), 1 - low)
        case _:
            return key, value


def _word(choice: Any) -> bool | int | float | str | None:
    """Return a choice as Optuna's storage can keep it: lists become their JSON."""
    return choice if isinstance(choice, bool | int | float | str | None) else json.dumps(choice)
