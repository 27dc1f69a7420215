"""The flow families, their base distributions, registry and checkpoints."""

from flowbench.families.registry import FAMILIES, create

__all__ = ["FAMILIES", "create"]
