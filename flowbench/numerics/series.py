r"""The log-determinant of a residual map as a power series of traces.

.. math:: \log\det(I + J) = \sum_{k \ge 1} \frac{(-1)^{k+1}}{k} \operatorname{tr}(J^k)

for a Jacobian of norm L < 1, each trace estimated by probes v with E[v v^T] = I (Hutchinson):
tr(J^k) = E[v^T J^k v]. Sources: Behrmann et al. 2019, "Invertible Residual Networks", section
3.2; Chen et al. 2019, "Residual Flows for Invertible Generative Modeling", sections 3.1 and 3.2.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from math import floor, log

import torch
from torch import Tensor

CONTINUE = 0.5
"""Probability with which Russian roulette goes on for one term more (Chen et al. 2019)."""

LOOKED_AT = 4
"""One power in so many is looked at for whether what is left counts: that costs a tenth of a term
on small networks."""

MOST_EXTRA = 53
"""Russian roulette's most terms beyond the exact ones: it has so many binary digits to go by."""


def truncated_coefficients(terms: int) -> list[float]:
    """Return the weights of the first `terms` terms: all one."""
    return [1.0] * terms


def truncation_bias(dim: int, lipschitz: float, terms: int) -> float:
    r"""Bound, in nats, what the series leaves out after `terms` = n terms.

    .. math:: D \frac{L^{n+1}}{(n+1)(1-L)}
    """
    return dim * lipschitz ** (terms + 1) / ((terms + 1) * (1 - lipschitz))


def roulette_coefficients(uniform: float, exact_terms: int) -> list[float]:
    """Return weights that make a series cut at random unbiased.

    The first `exact_terms` terms are always there; each one after is reached with probability
    1/2 given the one before, and weighs the inverse of its chance of being reached.

    Args:
        uniform: a number in [0, 1), the only randomness.
        exact_terms: terms of weight one.
    """
    # P(extra >= j) = P(uniform < CONTINUE^j): zero, too, gives a finite number of terms.
    extra = floor(log(max(uniform, CONTINUE**MOST_EXTRA)) / log(CONTINUE))
    return truncated_coefficients(exact_terms) + [CONTINUE**-j for j in range(1, extra + 1)]


def roulette_by_sample(uniforms: Tensor, exact_terms: int) -> list[float | Tensor]:
    """Return the weights of a series that each sample and probe cuts for itself.

    Args:
        uniforms: ``(P, N)`` in [0, 1), float64, the only randomness.
        exact_terms: of weight one for all.

    Returns:
        The weight of each term: a number, or ``(P, N)`` with zeros where the series was cut before.
    """
    extra = (uniforms.clamp(min=CONTINUE**MOST_EXTRA).log() / log(CONTINUE)).floor()
    reached = range(1, int(extra.max()) + 1)
    more = [(extra >= j) * CONTINUE**-j for j in reached]
    return [*truncated_coefficients(exact_terms), *more]


def as_input(coefficients: Sequence[float], exact_terms: int) -> Tensor:
    """Return weights as a compiled call takes them: of one size whatever their number is.

    Args:
        coefficients: of a series, or of one that was cut at random.
        exact_terms: see `roulette_coefficients`.

    Returns:
        The weights, followed by zeros, of which there is one at least.
    """
    size = exact_terms + MOST_EXTRA + 1
    return torch.tensor([*coefficients, *[0.0] * (size - len(coefficients))])


def log_det_series(
    product: Callable[[Tensor], Tensor],
    probes: Tensor,
    coefficients: Sequence[float | Tensor] | Tensor,
    *,
    differentiable: bool,
) -> Tensor:
    r"""Estimate :math:`\log\det(I + J)` with each probe.

    The value is the series, computed without a graph. Its gradient is that of a surrogate which
    keeps the graph of one product only, whatever the number of terms: with
    :math:`u = \sum_k c_k (-J)^{k-1} v` held fixed,

    .. math:: \partial \log\det(I + J) = \operatorname{tr}((I + J)^{-1} \partial J)
              = E[v^T\, \partial J\, u]

    (the Neumann gradient; Chen et al. 2019, section 3.2, there with :math:`J^T` on the left). The
    surrogate's own value is no log-determinant and is subtracted again. Each sample has its own
    term in it, so the gradient is right under any weighting of the samples.

    Args:
        product: takes tangents ``(P, N, *event)`` through J.
        probes: ``(P, N, *event)``, independent with mean zero and variance one.
        coefficients: weight of each term, the first first, a number or one for each probe and
            sample, ``(P, N)``; while compiling a tensor, see `as_input`.
        differentiable: whether the result carries the surrogate's gradient. Without it, terms
            that together are below the round-off of the first are left out.

    Returns:
        ``(P, N)``, one estimate for each probe and sample.
    """
    with torch.no_grad():
        if isinstance(coefficients, Tensor):
            value, direction = _summed_in_a_loop(product, probes, coefficients)
        elif not differentiable:
            return _summed_to_round_off(product, probes, coefficients)
        else:
            value, direction = _summed(product, probes, coefficients)
    if not differentiable:
        return value
    surrogate = (probes * product(direction)).flatten(2).sum(2)
    return value + surrogate - surrogate.detach()


def _summed(
    product: Callable[[Tensor], Tensor], probes: Tensor, coefficients: Sequence[float | Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the series ``(P, N)`` and the surrogate's u, shaped like `probes`."""
    value = probes.new_zeros(probes.shape[:2])
    power, direction = probes, torch.zeros_like(probes)
    for k, coefficient in enumerate(coefficients, start=1):
        weight = coefficient if k % 2 else -coefficient
        if isinstance(weight, Tensor):
            weight = weight.to(probes)
            direction = direction + weight.reshape(*weight.shape, *[1] * (probes.dim() - 2)) * power
        else:
            direction = direction + weight * power
        power = product(power)
        value = value + weight / k * (probes * power).flatten(2).sum(2)
    return value, direction


def _summed_to_round_off(
    product: Callable[[Tensor], Tensor], probes: Tensor, coefficients: Sequence[float | Tensor]
) -> Tensor:
    """Return the series ``(P, N)`` without the terms that cannot change it.

    They are more than idle: powers of a strong contraction end as subnormal numbers, with which
    processors are dozens of times slower.
    """
    numbers = (each.to(probes) if isinstance(each, Tensor) else each for each in coefficients)
    weights = [number / k for k, number in enumerate(numbers, start=1)]
    left = [*accumulate(reversed(weights))][::-1]  # of each term and those after it
    value, power, first = probes.new_zeros(probes.shape[:2]), probes, probes
    for k, weight in enumerate(weights):
        if k and k % LOOKED_AT == 0:
            # No later power is larger than this one: J is a contraction.
            size, at_first = (each.flatten(2).norm(dim=2) for each in (power, first))
            if bool((left[k] * size <= torch.finfo(probes.dtype).eps * at_first).all()):
                break
        power = product(power)
        first = first if k else power
        value = value + (-1) ** k * weight * (probes * power).flatten(2).sum(2)
    return value


def _summed_in_a_loop(
    product: Callable[[Tensor], Tensor], probes: Tensor, coefficients: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what `_summed` does, as a loop of the compiled program.

    Unrolled, each number of terms would be a program of its own, and the largest, with masks, would
    take ten times the products of the average one.
    """
    # torch has no public name for it yet.
    from torch._higher_order_ops.while_loop import while_loop

    def goes_on(k: Tensor, *_: Tensor) -> Tensor:
        return coefficients.index_select(0, k).squeeze(0) != 0

    def next_term(
        k: Tensor, power: Tensor, direction: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        weight = (1 - 2 * (k % 2)) * coefficients.index_select(0, k)
        direction = direction + weight * power
        power = product(power)
        value = value + weight / (k + 1) * (probes * power).flatten(2).sum(2)
        return k + 1, power, direction, value

    # What goes round must come back with the same strides.
    probes = probes.clone(memory_format=torch.contiguous_format)
    first = torch.zeros(1, dtype=torch.int64, device=probes.device)
    start = (first, probes.clone(), torch.zeros_like(probes), probes.new_zeros(probes.shape[:2]))
    _, _, direction, value = while_loop(goes_on, next_term, start)
    return value, direction


def log_det_from_powers(jacobian: Tensor, coefficients: Sequence[float]) -> Tensor:
    """Return the same series with exact traces, ``(N,)``, of whole Jacobians ``(N, D, D)``."""
    power, value = jacobian, jacobian.new_zeros(len(jacobian))
    for k, coefficient in enumerate(coefficients, start=1):
        sign = 1.0 if k % 2 else -1.0
        value = value + sign * coefficient / k * power.diagonal(dim1=1, dim2=2).sum(1)
        power = power @ jacobian
    return value
