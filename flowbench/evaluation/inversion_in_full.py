"""Everything that the full protocol asks of a flow's invertibility."""

from __future__ import annotations

from collections.abc import Callable

from flowbench.data.module import FlowData
from flowbench.evaluation.inversion import measure_inversion
from flowbench.evaluation.iterations import measure_iterations
from flowbench.evaluation.jacobian import measure_jacobian
from flowbench.evaluation.measuring import in_double
from flowbench.evaluation.passes import measure_passes
from flowbench.evaluation.result import Evaluation
from flowbench.evaluation.unseen import BATCH, measure_unseen
from flowbench.families.flow import Flow
from flowbench.families.foreign import ForeignFlow
from flowbench.spec.run import EvaluationSpec

SECONDS = 5.0
"""Time for each part and each kind of input; what it was enough for is recorded as its points."""

FLOAT64 = "_float64"
"""Ending of the names of what was measured on the float64 copy."""


def measure_inversion_in_full(flow: Flow, data: FlowData, spec: EvaluationSpec) -> Evaluation:
    """Measure what `measure_inversion` leaves to the full protocol.

    The same round trips in float64 (what is left there is no round-off), nine of them in a row,
    those of own samples and of five kinds of out-of-distribution input, the error along the
    iterations of an iterative inverse, and the exact Jacobian.

    A user's own flow may fail at what it was not written for, such as float64: its label
    `not_measured` says so.

    Args:
        flow: a model that can encode and decode.
        data: the data set it was trained on.
        spec: split and number of points.
    """
    split, points = spec.split, spec.inversion_points

    def in_float64() -> dict[str, float]:
        double = in_double(flow)
        found = measure_inversion(
            double, data, split, points=points, batch_size=BATCH, seconds=SECONDS
        )
        found |= measure_unseen(double, data, split, points=points, seconds=SECONDS)
        return {f"{name}{FLOAT64}": value for name, value in found.items()}

    parts: dict[str, Callable[[], dict[str, float]]] = {
        "nine passes": lambda: measure_passes(flow, data, split, points=points, seconds=SECONDS),
        "unseen inputs": lambda: measure_unseen(flow, data, split, points=points, seconds=SECONDS),
        "float64": in_float64,
        "iterations": lambda: measure_iterations(flow, data, split),
        "Jacobian": lambda: measure_jacobian(flow, data, split, seconds=SECONDS),
    }
    metrics: dict[str, float] = {}
    failed: list[str] = []
    for name, measure in parts.items():
        try:
            metrics |= measure()
        except RuntimeError as error:
            if not isinstance(flow, ForeignFlow):
                raise
            failed.append(f"{name}: {str(error).splitlines()[0]}")
    return Evaluation(metrics, {"not_measured": "; ".join(failed)} if failed else {})
