"""The configuration that a search begins with: the default, which tuning is measured by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flowbench.spec.distributions import Distribution
from flowbench.spec.sweep import SweepSpec

Likeness = Literal["yes", "nearest"]
"""Whether a trial's configuration is the default, or the nearest to it that is searched."""


@dataclass(frozen=True)
class DefaultPoint:
    """A family's default within a sweep's space."""

    values: dict[str, Any]
    """The searched values by their keys in the specification."""
    likeness: Likeness


def default_point(
    sweep: SweepSpec, family: str, defaults: Mapping[str, Any]
) -> DefaultPoint | None:
    """Return the default of every searched key, a number out of its range moved to its bound.

    Most spaces hold weight decay in the logarithm, so its default of 0 is on no axis: the least
    decay stands for it.

    Args:
        sweep: whose space, fixed values and training it is.
        family: which of its families.
        defaults: the family's own, by bare names.

    Returns:
        None where nothing is searched, or a choice does not have the default among its values.
    """
    wanted = {f"family.{name}": value for name, value in defaults.items()}
    training = sweep.training.model_dump(mode="json")
    wanted |= {f"training.{name}": value for name, value in training.items()}
    fixed = sweep.families[family].fixed
    values: dict[str, Any] = {}
    likeness: Likeness = "yes"
    for key, distribution in sweep.space(family).items():
        if not distribution.applies({**fixed, **values}):
            continue
        value = _nearest(distribution, wanted.get(key))
        if value is None:
            return None
        values[key] = value
        if not distribution.holds(wanted[key]):
            likeness = "nearest"
    return DefaultPoint(values, likeness) if values else None


def _nearest(distribution: Distribution, wanted: Any) -> Any:
    """Return the value of a key that is nearest to the wanted one, None where none is near."""
    if distribution.holds(wanted):
        return wanted
    if distribution.kind == "choice" or not isinstance(wanted, int | float):
        return None
    near = min(max(wanted, distribution.low), distribution.high)
    return round(near) if distribution.kind == "int" else near
