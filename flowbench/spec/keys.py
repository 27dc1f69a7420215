"""The keys that a sweep file may search or fix, and the order in which they are drawn."""

from collections.abc import Mapping

from flowbench.spec.distributions import Distribution
from flowbench.spec.run import EvaluationSpec, TrainingSpec

DECIDED = {
    "training.max_epochs": "budget",
    "training.max_steps": "budget",
    "training.max_seconds": "budget",
    "training.devices": "resources.devices_per_trial",
    "evaluation.split": "the stage (validation while tuning, test when confirming)",
    "evaluation.protocol": "confirm.protocol",
    "evaluation.speed": "the stage (speed is measured last, alone)",
    "evaluation.rough_speed": "objectives and constraints",
    "family.name": "the key under families",
}
"""Keys that other parts of a sweep file decide."""


def check_section(section: TrainingSpec | EvaluationSpec) -> None:
    """Refuse a common value that would be overruled silently."""
    prefix = "training" if isinstance(section, TrainingSpec) else "evaluation"
    for name, field in type(section).model_fields.items():
        decided = DECIDED.get(f"{prefix}.{name}")
        if decided and getattr(section, name) != field.default:
            raise ValueError(f"{prefix}.{name} is decided by {decided}")


def check_key(key: str, where: str) -> None:
    """Refuse a searched or fixed key that is none, or that something else decides."""
    section, dot, name = key.partition(".")
    if key in DECIDED:
        raise ValueError(f"{where}: {key} is decided by {DECIDED[key]}")
    if section not in ("family", "training") or not dot:
        raise ValueError(f"{where}: {key}: a key starts with family. or training.")
    if section == "training" and name not in TrainingSpec.model_fields:
        allowed = ", ".join(f"training.{field}" for field in TrainingSpec.model_fields)
        raise ValueError(f"{where}: {key}: unknown key; allowed: {allowed}")


def ordered(
    space: Mapping[str, Distribution], fixed: set[str], family: str
) -> dict[str, Distribution]:
    """Put each key after those that its `when` names.

    Raises:
        ValueError: if `when` names a key that is neither searched nor fixed, or in a circle.
    """
    found: dict[str, Distribution] = {}
    waiting = dict(space)
    while waiting:
        ready = [
            key
            for key, distribution in waiting.items()
            if all(parent in found or parent in fixed for parent in distribution.when)
        ]
        if not ready:
            key, distribution = next(iter(waiting.items()))
            unknown = [parent for parent in distribution.when if parent not in space]
            if unknown:
                raise ValueError(
                    f"families.{family}: {key} depends on {unknown[0]}, which is neither searched"
                    " nor fixed"
                )
            raise ValueError(f"families.{family}: {key} depends on itself")
        for key in ready:
            found[key] = waiting.pop(key)
    return found
