"""The words that cross every border: labels, outcomes, stages, metric names."""

from typing import Literal

LogDetLabel = Literal["exact", "estimate", "bound"]
"""How far a log-determinant can be trusted; `bound` is the weakest (one-sided), then `estimate`."""

DataLabel = Literal["density", "dequantised"]
"""What a likelihood means: a density, or an upper bound on the code length of discrete data."""

InverseLabel = Literal["analytic", "iterative"]
"""How a layer inverts: in closed form, or to a tolerance."""

LOG_DET_STRENGTH: dict[LogDetLabel, int] = {"bound": 0, "estimate": 1, "exact": 2}


def weakest_log_det(labels: list[LogDetLabel]) -> LogDetLabel:
    """Return the label that a whole of parts with these labels deserves (`exact` for no parts)."""
    return min(labels, key=LOG_DET_STRENGTH.__getitem__, default="exact")


Split = Literal["train", "validation", "test"]
SPLIT_PREFIX: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}
"""The split's name in metric names: `val/bits_per_dim`, `test/nats`."""

Protocol = Literal["quick", "full"]
"""How much is measured: the three measures, or all there is to measure (`spec.metrics`)."""

Stage = Literal["single", "tune", "confirm", "speed", "evaluate"]
"""Why a run exists: alone, searching, confirming a choice with a fresh seed, measuring a run's
speed or all of it again."""

Outcome = Literal[
    "completed",
    "pruned",
    "diverged",
    "out_of_memory",
    "not_invertible",
    "timed_out",
    "code_error",
    "lost",
]

INVERSION_ERROR = "inversion/flow/xzx/max"
"""The ranked inversion error: the largest coordinate of a held-out point after a round trip."""
SAMPLING_TIME = "rough/milliseconds_per_sample"
"""Measured beside other trials for a search's own use; `sampling/...` is what is compared."""
PEAK_MEMORY = "memory/peak_bytes"
