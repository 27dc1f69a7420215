"""How fast an iterative inverse converges: its error along the iterations, and their rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import exp, log

import torch
from torch import Tensor

from flowbench.bijections.residual import ResidualBlock
from flowbench.data.module import FlowData
from flowbench.evaluation.inversion import Solves
from flowbench.evaluation.matched import adjustable, loosest, tolerance
from flowbench.evaluation.measuring import in_double, measuring, place
from flowbench.families.flow import Flow
from flowbench.metrics.inversion import largest_error
from flowbench.spec.metrics import ITERATIONS
from flowbench.spec.vocabulary import Split

POINTS = 64
"""Held-out points behind the curve: its largest and its middle error."""

ERROR = 1e-5
"""At which the evaluations of a fixed point are counted."""

ROUND_OFF = 1e3 * torch.finfo(torch.float64).eps
"""Error, relative to the largest coordinate, below which the curve no longer falls."""


def measure_iterations(
    flow: Flow, data: FlowData, split: Split, *, points: int = POINTS
) -> dict[str, float]:
    """Return `inversion/iterations/{n}/{max,median}` and `inversion/contraction`.

    Errors are those of x->z->x in flow coordinates and float64, with every fixed point cut off
    after n evaluations of its branch. `contraction` is the factor by which one more lowers the
    median, fitted to its logarithm down to round-off; it is left out where two evaluations are
    enough. Flows that solve scalar equations by Newton's method, which is at round-off after a
    few steps, have no curve.

    Args:
        flow: a model that can encode and decode.
        data: the data set it was trained on.
        split: which part.
        points: how many held-out points.
    """
    if not adjustable(flow):
        return {}
    exact, y, errors_now = _round_trips(flow, data, split, points)
    curve: dict[int, Tensor] = {}
    with tolerance(exact, 0.0):
        for n in ITERATIONS:
            with _cut_off(exact, n):
                curve[n] = errors_now()
    found = {"iterations/points": float(len(y))}
    for n, errors in curve.items():
        found[f"iterations/{n}/max"] = float(errors.max())
        found[f"iterations/{n}/median"] = float(errors.median())
    medians = {n: found[f"iterations/{n}/median"] for n in ITERATIONS}
    rate = contraction(medians, ROUND_OFF * float(y.abs().max()))
    if rate is not None:
        found["contraction"] = rate
    return {f"inversion/{name}": value for name, value in found.items()}


def measure_evaluations(
    flow: Flow, data: FlowData, split: Split, *, points: int = POINTS
) -> dict[str, float]:
    """Return `inversion/evaluations_{mean,max}_at_1e-5`: of the branch, for one fixed point.

    At the loosest tolerance with which x->z->x errs by no more than 1e-5 anywhere, in flow
    coordinates and float64; nothing for flows without fixed points, or that never get there.

    Args:
        flow: a model that can encode and decode.
        data: the data set it was trained on.
        split: which part.
        points: how many held-out points.
    """
    if not adjustable(flow):
        return {}
    exact, _, errors_now = _round_trips(flow, data, split, points)

    def error_at(setting: float) -> float:
        with tolerance(exact, setting):
            return float(errors_now().max())

    if error_at(loosest(error_at, ERROR)) > ERROR:
        return {}
    solves = Solves()
    solves.add(exact)
    found = solves.metrics()
    return {
        f"inversion/evaluations_{name}_at_1e-5": found[f"iterations_{name}"]
        for name in ("mean", "max")
    }


def _round_trips(
    flow: Flow, data: FlowData, split: Split, points: int
) -> tuple[Flow, Tensor, Callable[[], Tensor]]:
    """Return the float64 copy, points in flow coordinates, and their errors after x->z->x."""
    exact = in_double(flow)
    batch = next(data.batches(split, points)).to(place(flow)[0])
    context = None if batch.context is None else batch.context.double()
    with measuring(exact):
        y = exact.preprocess.encode_map(batch.x.double())

    def errors() -> Tensor:
        with measuring(exact):
            back = exact.flow.decode_map(exact.flow.encode_map(y, context), context)
        return largest_error(y, back)

    return exact, y, errors


def contraction(errors: dict[int, float], floor: float) -> float | None:
    """Return the factor an iteration: a line fitted to the logarithm of errors above the floor.

    Args:
        errors: by number of iterations.
        floor: below it they are round-off.

    Returns:
        The factor, or None where fewer than two errors are above the floor.
    """
    known = [(n, log(error)) for n, error in errors.items() if floor < error < float("inf")]
    if len(known) < 2:
        return None
    n, heights = torch.tensor(known, dtype=torch.float64).T
    from_mean = n - n.mean()
    return exp(float((from_mean * heights).sum() / from_mean.square().sum()))


@contextmanager
def _cut_off(flow: Flow, iterations: int) -> Iterator[None]:
    """Let no fixed point take more evaluations of its branch for a while."""
    layers: list[ResidualBlock] = adjustable(flow)
    before = [layer.max_iterations for layer in layers]
    for layer in layers:
        layer.max_iterations = iterations
    try:
        yield
    finally:
        for layer, kept in zip(layers, before, strict=True):
            layer.max_iterations = kept
