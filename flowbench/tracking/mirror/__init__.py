"""A local copy of the record, which answers at once whatever the record's size and distance."""

from flowbench.tracking.mirror.catching_up import Progress
from flowbench.tracking.mirror.mirror import Mirror

__all__ = ["Mirror", "Progress"]
