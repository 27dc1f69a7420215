"""Whether estimated log-determinants are right on average, and their gradients too."""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn

from flowbench.conformance.case import Case, draw_anew
from flowbench.conformance.gradients import direction, slope_along
from flowbench.conformance.result import Finding

FIRST_DRAWS = 16
"""Calls averaged at first: the length of a roulette is drawn once a call, for all of its rows."""

DRAWS = 256
"""Calls averaged where the first ones look biased: a bias stands out the more, chance does not."""

LOOKS_BIASED = 2.0
"""z-score of the first draws above which more are made."""

COPIES = 2
"""Of each row in a call, which have probes of their own."""

DEVIATIONS = 5.0
"""Largest z-score that passes: an unbiased estimator exceeds it once in two million tries."""


def estimate(case: Case) -> Finding | None:
    """The mean estimate lies within five standard errors (and its stated bias) of log|det J|."""
    models = _estimating(case)
    if not models:
        return None
    well = case.well(case.condition_at_x)
    x, context = _repeated(case, well)
    true = torch.linalg.slogdet(case.jacobian_at_x[well]).logabsdet.mean()
    with torch.no_grad():
        scores = [
            _z_score(lambda draw, m=model: _log_det(m, x, context, draw), true, case.bias_bound)  # type: ignore[misc]
            for model in models
        ]
    return Finding(max(scores), DEVIATIONS)


def estimate_gradient(case: Case) -> Finding | None:
    """The estimate's mean gradient is that of the exact log-det, where evaluation has that."""
    models = [model for model in _estimating(case) if model.training]
    if not models or case.bias_bound or case.model.log_det_label != "exact":
        return None
    x, context = _repeated(case, case.well(case.condition_at_x))
    (model,) = models
    along = direction(model)
    true = slope_along(case.model, along, _log_det(case.model, x, context, 0))

    def slope(draw: int) -> Tensor:
        return slope_along(model, along, _log_det(model, x, context, draw))

    return Finding(_z_score(slope, true, 0.0), DEVIATIONS)


def _estimating(case: Case) -> list[nn.Module]:
    """Return the model in each mode, training or evaluation, whose log-det is random."""
    training = deepcopy(case.model).train()
    models = [training] if training.log_det_label == "estimate" else []
    return [*models, case.model] if case.noisy else models


def _repeated(case: Case, well: Tensor) -> tuple[Tensor, Tensor | None]:
    context = None if case.context is None else case.context[well].repeat(COPIES, 1)
    return case.x[well].repeat(COPIES, *[1] * (case.x.dim() - 1)), context


def _log_det(model: nn.Module, x: Tensor, context: Tensor | None, draw: int) -> Tensor:
    """Return the mean log-det of encode in one draw of all noise, ``()``."""
    draw_anew(model, draw, len(x))
    log_det: Tensor = model.encode(x, context)[1].mean()  # type: ignore[operator]
    return log_det


def _z_score(draw: Callable[[int], Tensor], true: Tensor, bias: float) -> float:
    """Return by how many standard errors the mean of draws misses the truth, bias allowed for."""
    values = [draw(index) for index in range(FIRST_DRAWS)]
    score = _score(torch.stack(values), true, bias)
    if score <= LOOKS_BIASED:
        return score
    values += [draw(index) for index in range(FIRST_DRAWS, DRAWS)]
    return _score(torch.stack(values), true, bias)


def _score(values: Tensor, true: Tensor, bias: float) -> float:
    error = values.std() / len(values) ** 0.5
    missed = ((values.mean() - true).abs() - bias).clamp(min=0)
    # Draws that hardly vary (one probe says all in one dimension) are held to round-off.
    floor = 1e-9 * max(1.0, float(true.abs()))
    return float(missed / error.clamp(min=floor))
