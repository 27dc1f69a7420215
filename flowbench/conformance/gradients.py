"""Whether gradients reach every parameter and are those of the numbers that are returned."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from flowbench.conformance.case import Case
from flowbench.conformance.result import Finding, offences, worst

STEPS = (1e-6, 1e-5, 1e-7, 1e-8)
"""Of central differences, along a random direction with unit-size entries, until one agrees:
curvature asks for small ones, round-off for large ones, and a wrong gradient agrees with none."""

DIFFERENCE_TOLERANCE = 1e-5
"""Relative to the size of what is differentiated: round-off over a step is near 1e-9 of it."""

Direction = list[tuple[str, Tensor]]


def gradients_reach(case: Case) -> Finding | None:
    """Every parameter gets a finite gradient in training, zero nowhere throughout."""
    model = deepcopy(case.model).train()
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad and p.numel()]
    if not trained:
        return None
    _objective(case, model, encoding=True).backward()
    missed = [
        name
        for name, p in trained
        if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]
    return offences(missed, "no gradient, or not finite")


def encode_gradient(case: Case) -> Finding | None:
    """Gradients through encode (a flow's log_prob) agree with finite differences."""
    return _against_difference(case, encoding=True)


def decode_gradient(case: Case) -> Finding | None:
    """Gradients through decode agree with finite differences."""
    return _against_difference(case, encoding=False)


def direction(model: nn.Module) -> Direction:
    """Return a random direction in the space of the parameters that are trained."""
    torch.manual_seed(0)
    return [(n, torch.randn_like(p)) for n, p in model.named_parameters() if p.requires_grad]


def slopes_along(model: nn.Module, along: Direction, value: Tensor) -> Tensor:
    """Return a scalar's derivative in a direction of each parameter tensor, by autograd."""
    parameters = [model.get_parameter(name) for name, _ in along]
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    pairs = zip(gradients, along, strict=True)
    zero = value.new_zeros(())
    return torch.stack(
        [zero if gradient is None else (gradient * each).sum() for gradient, (_, each) in pairs]
    )


def _against_difference(case: Case, *, encoding: bool) -> Finding | None:
    if case.noisy:
        return None  # The gradient of a random estimate is a surrogate's: `estimate_gradient`.
    model = deepcopy(case.model)
    along = direction(model)
    if not along:
        return None
    value = _objective(case, model, encoding=encoding)
    slope = value.new_zeros(())
    if value.requires_grad:
        slope = slopes_along(model, along, value).sum()
    findings = []
    for step in STEPS:
        difference = _central_difference(case, model, along, step, encoding=encoding)
        size = torch.stack((value.detach().abs(), difference.abs())).amax().clamp(min=1)
        findings.append(worst((slope - difference).abs()[None], DIFFERENCE_TOLERANCE * size[None]))
        if findings[-1].verdict == "passed":
            return findings[-1]
    return findings[0]


@torch.no_grad()
def _central_difference(
    case: Case, model: nn.Module, along: Direction, step: float, *, encoding: bool
) -> Tensor:
    """Return the objective's slope in a direction of the parameters, which end where they were."""
    start = [(model.get_parameter(name), model.get_parameter(name).clone()) for name, _ in along]
    ends = []
    for sign in (1, -1):
        for (parameter, value), (_, each) in zip(start, along, strict=True):
            parameter.copy_(value + sign * step * each)
        ends.append(_objective(case, model, encoding=encoding))
    for parameter, value in start:
        parameter.copy_(value)
    return (ends[0] - ends[1]) / (2 * step)


def _objective(case: Case, model: nn.Module, *, encoding: bool) -> Tensor:
    """Return one number that depends on all of an output's coordinates, and on the log-det."""
    if encoding and not case.is_layer:
        return model.log_prob(case.x, case.context).mean()  # type: ignore[operator, no-any-return]
    point = case.x if encoding else case.z
    run = model.encode if encoding else model.decode
    image, log_det = run(point, case.context)  # type: ignore[operator]
    torch.manual_seed(1)
    weights = torch.randn_like(image)
    return (image * weights).flatten(1).mean(1).mean() + log_det.mean()  # type: ignore[no-any-return]
