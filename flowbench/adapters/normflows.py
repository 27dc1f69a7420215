"""Flows written in normflows."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from flowbench.adapters.adapted import AdaptedFlow
from flowbench.errors import InputError
from flowbench.spec.vocabulary import InverseLabel, LogDetLabel

try:
    from normflows import MultiscaleFlow, NormalizingFlow
    from normflows.flows import Residual
    from normflows.utils import update_lipschitz
except ImportError:
    raise InputError("normflows is not installed: pip install 'flowbench[bench]'") from None

POWER_ITERATIONS = 5
"""After each step; normflows leaves them to the training loop."""


class NormflowsFlow(AdaptedFlow):
    """A `NormalizingFlow` of normflows, or with a context a `ConditionalNormalizingFlow`.

    Its layers are called one by one: its own `inverse_and_log_det` adds up log-dets in float32.
    """

    flow: NormalizingFlow

    @property
    def log_det_label(self) -> LogDetLabel:  # type: ignore[override]
        return "estimate" if self._residual else "exact"

    @property
    def inverse_label(self) -> InverseLabel:  # type: ignore[override]
        return "iterative" if self._residual else "analytic"

    @property
    def _residual(self) -> bool:
        return any(isinstance(module, Residual) for module in self.flow.modules())

    def density(self, x: Tensor, context: Tensor | None) -> Tensor:
        log_prob: Tensor = self.flow.log_prob(x, **_given(context))
        return log_prob

    def draw(self, n: int, context: Tensor | None) -> Tensor:
        x: Tensor = self.flow.sample(n, **_given(context))[0]
        return x

    def to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for layer in reversed(self.flow.flows):
            x, log_det = layer.inverse(x, **_given(context))
            total = total + log_det
        return x, total

    def to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(len(z))
        for layer in self.flow.flows:
            z, log_det = layer(z, **_given(context))
            total = total + log_det
        return z, total

    def after_step(self) -> None:
        """Bring the spectral norms of residual blocks up to the weights."""
        update_lipschitz(self.flow, POWER_ITERATIONS)


class NormflowsMultiscale(AdaptedFlow):
    """A `MultiscaleFlow` of normflows, without classes, on images."""

    flow: MultiscaleFlow

    def density(self, x: Tensor, context: Tensor | None) -> Tensor:
        log_prob: Tensor = self.flow.log_prob(x, None)
        return log_prob

    def draw(self, n: int, context: Tensor | None) -> Tensor:
        x: Tensor = self.flow.sample(n)[0]
        return x

    def to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        parts, log_det = self.flow.inverse_and_log_det(x)
        return torch.cat([part.flatten(1) for part in parts], 1), log_det

    def to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        shapes = [base.shape for base in self.flow.q0]
        parts = z.flatten(1).split([prod(shape) for shape in shapes], 1)
        latents = [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]
        x, log_det = self.flow.forward_and_log_det(latents)
        return x, log_det


def _given(context: Tensor | None) -> dict[str, Any]:
    """Name the context where there is one: unconditional layers take none."""
    return {} if context is None else {"context": context}
