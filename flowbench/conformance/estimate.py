"""Whether estimated log-determinants are right on average, and their gradients too."""

from collections.abc import Callable
from copy import deepcopy

import torch
from scipy.special import stdtrit
from torch import Tensor, nn

from flowbench.conformance.case import Case, draw_anew
from flowbench.conformance.gradients import direction, slopes_along
from flowbench.conformance.result import Finding

FIRST_DRAWS = 16
"""Calls averaged at first: the length of a roulette is drawn once a call, for all of its rows."""

DRAWS = 256
"""Calls averaged where the first ones look biased: a bias stands out the more, chance does not."""

SUSPICION = 0.05
"""Chance with which unbiased estimates are put to the second test, however many they are."""

ROWS = 512
"""Of a call in few dimensions: copies of the points, each with probes of its own."""

DEVIATIONS = 5.0
"""Largest z-score that passes: an unbiased estimate exceeds it once in two million tries."""


def estimate(case: Case) -> Finding | None:
    """At each point the mean estimate lies within five standard errors of log|det J|.

    The bias that a truncated series admits to is allowed for.
    """
    models = _estimating(case)
    if not models:
        return None
    well = case.well(case.condition_at_x)
    repeated = _repeated(case, well)
    true = torch.linalg.slogdet(case.jacobian_at_x[well]).logabsdet
    with torch.no_grad():
        scores = [
            _z_score(lambda draw, m=model: _log_dets(m, *repeated, draw), true, case.bias_bound)  # type: ignore[misc]
            for model in models
        ]
    return Finding(max(scores), DEVIATIONS)


def estimate_gradient(case: Case) -> Finding | None:
    """The estimate's mean gradient is that of the exact log-det, where evaluation has that.

    In each parameter tensor along a direction, for the mean over all points.
    """
    models = [model for model in _estimating(case) if model.training]
    if not models or case.bias_bound or case.model.log_det_label != "exact":
        return None
    repeated = _repeated(case, case.well(case.condition_at_x))
    (model,) = models
    along = direction(model)
    true = slopes_along(case.model, along, _log_dets(case.model, *repeated, 0).mean())

    def slopes(draw: int) -> Tensor:
        return slopes_along(model, along, _log_dets(model, *repeated, draw).mean())

    return Finding(_z_score(slopes, true, 0.0), DEVIATIONS)


def _estimating(case: Case) -> list[nn.Module]:
    """Return the model in each mode, training or evaluation, whose log-det is random."""
    training = deepcopy(case.model).train()
    models = [training] if training.log_det_label == "estimate" else []
    return [*models, case.model] if case.noisy else models


def _repeated(case: Case, well: Tensor) -> tuple[Tensor, Tensor | None, int]:
    """Return copies of the well-conditioned points, their context, and how many of each."""
    rows = ROWS if case.dim <= 8 else ROWS // 8
    copies = max(2, rows // int(well.sum()))
    context = None if case.context is None else case.context[well].repeat(copies, 1)
    return case.x[well].repeat(copies, *[1] * (case.x.dim() - 1)), context, copies


def _log_dets(
    model: nn.Module, x: Tensor, context: Tensor | None, copies: int, draw: int
) -> Tensor:
    """Return the mean log-det of encode at each point in one draw of all noise, ``(P,)``."""
    draw_anew(model, draw, len(x))
    log_det: Tensor = model.encode(x, context)[1]  # type: ignore[operator]
    mean: Tensor = log_det.unflatten(0, (copies, -1)).mean(0)
    return mean


def _z_score(draw: Callable[[int], Tensor], true: Tensor, bias: float) -> float:
    """Return by how many standard errors the means of draws ``(P,)`` miss the truth at worst."""
    values = [draw(index) for index in range(FIRST_DRAWS)]
    score = _score(torch.stack(values), true, bias)
    # Student's t: the first draws are too few to tell their own spread.
    if score <= -stdtrit(FIRST_DRAWS - 1, SUSPICION / (2 * len(true))):
        return score
    values += [draw(index) for index in range(FIRST_DRAWS, DRAWS)]
    return _score(torch.stack(values), true, bias)


def _score(values: Tensor, true: Tensor, bias: float) -> float:
    """Return the largest z-score of the means of ``(draws, P)`` that differ by more than `bias`."""
    error = values.std(0) / len(values) ** 0.5
    missed = ((values.mean(0) - true).abs() - bias).clamp(min=0)
    # Draws that hardly vary (one probe says all in one dimension) are held to round-off.
    floor = 1e-9 * true.abs().clamp(min=1)
    return float((missed / error.maximum(floor)).max())
