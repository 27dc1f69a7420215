"""The log-determinant of x + g(x): from the whole Jacobian, or estimated by random probes."""

from typing import Literal

import torch
from torch import Tensor

from flowbench.bijections.base import Bijection
from flowbench.networks.lipschitz import JacobianProduct
from flowbench.numerics.determinant import jacobian, log_det_residual
from flowbench.numerics.keyed_noise import rademacher, scalar_uniform, uniform
from flowbench.numerics.series import (
    as_input,
    log_det_from_powers,
    log_det_series,
    roulette_by_sample,
    roulette_coefficients,
    truncated_coefficients,
    truncation_bias,
)
from flowbench.spec.vocabulary import LogDetLabel

LogDetMethod = Literal["exact", "series", "roulette"]
Weights = list[float | Tensor]

EXPANDED_DIM = 128
"""Up to this many dimensions evaluation expands the whole Jacobian: no probes, no noise."""

EVALUATION_TERMS = 20
"""Exact terms of Russian roulette at evaluation, as in Chen et al. 2019, section 4."""

EVALUATION_PROBES = 2
"""Two probes are the fewest that tell their own variance: evaluation takes no fewer."""


class EstimatedLogDet(Bijection):
    r"""A map of Jacobian I + J, J of norm below 1, whose :math:`\log\det(I + J)` is one of these.

    * `exact`: from the whole Jacobian;
    * `series`: the first `terms` terms of the power series with keyed probes of each sample in
      training, with exact traces up to 128 dimensions otherwise; `bias_bound` bounds the rest;
    * `roulette`: the unbiased series cut at random after `terms` terms, with keyed probes of each
      sample, in training; evaluation expands the Jacobian up to 128 dimensions, and above takes
      20 terms before the roulette and two probes at least.

    Args:
        dim: number of elements D of an event.
        method: which.
        terms: see above; None means 10 for the series, 2 for the roulette.
        probes: of each sample; the variance falls with their number as the cost rises.
        stream: tells this layer's noise from that of other layers with the same key.
    """

    def __init__(
        self, dim: int, method: LogDetMethod, terms: int | None, probes: int, stream: int
    ) -> None:
        super().__init__()
        self.dim = dim
        self.method: LogDetMethod = method
        self.terms = terms or (10 if method == "series" else 2)
        self.probes = probes
        self.stream = stream
        self.log_det_variance: Tensor | None = None
        self._key: tuple[int, int, Tensor] | None = None
        self._ahead: tuple[Tensor, Tensor] | None = None

    @property
    def lipschitz(self) -> float:
        """The bound L of J's norm."""
        raise NotImplementedError

    @property
    def bias_bound(self) -> float:
        """Largest bias of the log-determinant in nats an event: 0 but for a truncated series."""
        if self.method != "series":
            return 0.0
        return truncation_bias(self.dim, self.lipschitz, self.terms)

    @property
    def log_det_label(self) -> LogDetLabel:
        return "exact" if self._is_exact else "estimate"

    def key_noise(self, seed: int, step: int, rows: Tensor) -> None:
        self._key = (seed, step, rows)
        self._ahead = None

    def draw_ahead(self) -> None:
        """Draw the noise that the next call is keyed for now.

        A compiled call takes it as an input: neither the key nor how many terms it draws is part
        of the program. A call that turns out not to be compiled draws the same again.
        """
        if self._key is None or self._expands:
            return
        signs, coefficients = self._drawn(*self._key, next(self.parameters()).dtype)
        whole = [float(each) for each in coefficients]
        self._ahead = signs, as_input(whole, self._exact_terms).to(signs)

    @property
    def _is_exact(self) -> bool:
        return self._expands and self.method != "series"

    @property
    def _expands(self) -> bool:
        """Whether the log-determinant is taken from the whole Jacobian, in the present mode."""
        few = not self.training and self.dim <= EXPANDED_DIM
        return self.method == "exact" or few

    @property
    def _exact_terms(self) -> int:
        """How many terms have weight one, in the present mode."""
        if self.method == "roulette" and not self.training:
            return max(self.terms, EVALUATION_TERMS)
        return self.terms

    def _log_det(self, x: Tensor, product: JacobianProduct) -> Tensor:
        """Return log det(I + J) at x, ``(N,)``."""
        self.log_det_variance = None
        if self._expands:
            self._key = None
            whole = jacobian(product, x)
            if self._is_exact:
                return log_det_residual(whole)
            return log_det_from_powers(whole, truncated_coefficients(self.terms))
        signs, coefficients = self._noise(x)
        probes = signs.reshape(len(x), -1, *x.shape[1:]).transpose(0, 1)
        estimates = log_det_series(
            product, probes, coefficients, differentiable=torch.is_grad_enabled()
        )
        if len(probes) > 1:
            self.log_det_variance = estimates.detach().var(0) / len(probes)
        return estimates.mean(0)

    def _noise(self, x: Tensor) -> tuple[Tensor, Weights | Tensor]:
        """Return what `_drawn` does for this call and forget its key: a key serves one call.

        Without one, training draws from torch's generator (a probe that never changed would be
        fitted), and evaluation takes a fixed key.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is not None and torch.compiler.is_compiling():
            self._key = None
            return ahead
        key, self._key = self._key, None
        if key is None:
            seed = int(torch.randint(2**62, ())) if self.training else 0
            key = seed, 0, torch.arange(len(x), device=x.device)
        return self._drawn(*key, x.dtype)

    def _drawn(
        self, seed: int, step: int, rows: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Weights]:
        """Return signs of P probes a sample, ``(N, P * D)``, and the weight of each term.

        A training step cuts the series at one term for all, which costs the least. At evaluation
        each probe of each sample does: errors are independent, and their spread tells them all.
        """
        count = self.probes if self.training else max(self.probes, EVALUATION_PROBES)
        signs = rademacher(seed, step, rows, count * self.dim, stream=2 * self.stream, dtype=dtype)
        if self.method == "series":
            return signs, [*truncated_coefficients(self.terms)]
        stream = 2 * self.stream + 1
        if self.training:
            once = scalar_uniform(seed, step, stream)
            return signs, [*roulette_coefficients(once, self._exact_terms)]
        each = uniform(seed, step, rows, count, stream=stream, dtype=torch.float64)
        return signs, roulette_by_sample(each.t(), self._exact_terms)
