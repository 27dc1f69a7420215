"""The old name of `flowbench.compare.runs`, for imports that have not moved yet."""

from flowbench.compare.runs import (
    LABELS,
    LN2,
    METRICS,
    PROTOCOL,
    Frame,
    listed,
    load,
)

__all__ = ["LABELS", "LN2", "METRICS", "PROTOCOL", "Frame", "listed", "load"]
