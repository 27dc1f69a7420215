"""What makes a configuration infeasible, as Optuna is told it: above zero is a violation."""

import math
from collections.abc import Mapping

from flowbench.spec.search import Constraints
from flowbench.spec.vocabulary import INVERSION_ERROR, PEAK_MEMORY, SAMPLING_TIME, Outcome

FAILURE = "failure"
"""The constraint that a trial which diverged, ran out of memory or time, or is not invertible
violates: Optuna's samplers do not see failed trials at all, and would go there again."""

SHUNNED: tuple[Outcome, ...] = ("diverged", "out_of_memory", "not_invertible", "timed_out")
"""Outcomes that say something of the configuration."""

MEASURED_BY = {
    "inversion_error": (INVERSION_ERROR, 1.0),
    "memory_gib": (PEAK_MEMORY, 2.0**30),
    "milliseconds_per_sample": (SAMPLING_TIME, 1.0),
}
"""For each limit the metric that it is set on, and its unit in the metric's."""

FARTHEST = 10.0
"""Decades told for what is beyond them, is no number, or was not measured."""


def violations(metrics: Mapping[str, float], constraints: Constraints) -> dict[str, float]:
    """Return by how many decades each limit is exceeded; zero or less where it is kept.

    Samplers add violations up, so they are counted on one scale, whatever their units. What was
    not measured is not shown to hold.
    """
    found = {}
    for name, limit in constraints.limits.items():
        metric, unit = MEASURED_BY[name]
        value = metrics.get(metric, math.nan) / (limit * unit)
        decades = FARTHEST if math.isnan(value) else -FARTHEST
        if value > 0:
            decades = math.log10(value)
        found[name] = min(max(decades, -FARTHEST), FARTHEST)
    return found
