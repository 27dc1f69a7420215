"""Deterministic preprocessing as bijections: the first part of every flow, in the spec hash."""

from collections.abc import Mapping, Sequence
from math import log

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from flowbench.bijections.base import Bijection
from flowbench.bijections.compose import Compose
from flowbench.errors import InputError

PreprocessSteps = Sequence[Mapping[str, object]]
"""A description that survives in a checkpoint: ``[{name: scale, low: 0, high: 17}, ...]``."""


class Scale(Bijection):
    r"""Take the interval :math:`[low, high]` to :math:`[0, 1]`."""

    def __init__(self, event_shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        if not high > low:
            raise InputError(f"preprocess scale: high = {high} must be above low = {low}")
        self.event_dim = len(event_shape)
        self.low, self.high = float(low), float(high)

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        log_det = -log(self.high - self.low) * x[0].numel() if len(x) else 0.0
        return (x - self.low) / (self.high - self.low), x.new_full((len(x),), log_det)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        log_det = log(self.high - self.low) * z[0].numel() if len(z) else 0.0
        return z * (self.high - self.low) + self.low, z.new_full((len(z),), log_det)


class Logit(Bijection):
    r"""Take :math:`(0, 1)` to the line by :math:`\mathrm{logit}(\lambda + (1 - 2\lambda) x)`.

    Source: Dinh et al. 2017, "Density estimation using Real NVP", section 4.1, with
    :math:`\lambda` on both sides as in Papamakarios et al. 2017, "Masked autoregressive flow".
    The formula is `encode`. Data on the border of the interval need a positive `lam`.
    """

    def __init__(self, event_shape: tuple[int, ...], lam: float = 1e-6) -> None:
        super().__init__()
        if not 0.0 <= lam < 0.5:
            raise InputError(f"preprocess logit: lam = {lam} must lie in [0, 0.5)")
        self.event_dim = len(event_shape)
        self.lam = float(lam)

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = self.encode_map(x, context)
        return y, self._log_det(y)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.decode_map(z, context), -self._log_det(z)

    def encode_map(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.refuse_context(context)
        p = self.lam + (1 - 2 * self.lam) * x
        # The complement is formed from x: 1 - p would round away small values near 1.
        q = self.lam + (1 - 2 * self.lam) * (1 - x)
        return p.log() - q.log()

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        self.refuse_context(context)
        return (torch.sigmoid(z) - self.lam) / (1 - 2 * self.lam)

    def _log_det(self, y: Tensor) -> Tensor:
        """Return log|dy/dx| in terms of y: softplus(y) + softplus(-y) + log(1 - 2 lambda)."""
        # torch's softplus drops exp(-y) above 20; its logsigmoid does not.
        each = log(1 - 2 * self.lam) - logsigmoid(y) - logsigmoid(-y)
        return each.flatten(1).sum(1)


class Standardise(Bijection):
    """Subtract the mean and divide by the standard deviation, coordinate by coordinate.

    The statistics are buffers, so that a checkpoint carries them.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, event_shape: tuple[int, ...], mean: Tensor | None = None, std: Tensor | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(event_shape) if mean is None else mean.clone())
        self.register_buffer("std", torch.ones(event_shape) if std is None else std.clone())

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        return (x - self.mean) / self.std, (-self.std.log().sum()).expand(len(x))

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        return z * self.std + self.mean, self.std.log().sum().expand(len(z))


STEPS: dict[str, type[Scale] | type[Logit] | type[Standardise]] = {
    "scale": Scale,
    "logit": Logit,
    "standardise": Standardise,
}


def describe(preprocess: Bijection) -> list[dict[str, object]]:
    """Return the steps of a preprocessing as a checkpoint keeps them (buffers travel apart)."""
    if isinstance(preprocess, Compose):
        return [step for layer in preprocess.sequence for step in describe(layer)]
    if isinstance(preprocess, Scale):
        return [{"name": "scale", "low": preprocess.low, "high": preprocess.high}]
    if isinstance(preprocess, Logit):
        return [{"name": "logit", "lam": preprocess.lam}]
    if isinstance(preprocess, Standardise):
        return [{"name": "standardise"}]
    raise InputError(f"preprocess: {type(preprocess).__name__} is none of {', '.join(STEPS)}")


def as_preprocess(
    preprocess: Bijection | PreprocessSteps | None, event_shape: tuple[int, ...]
) -> Bijection:
    """Build a preprocessing from its description, or of a bijection's steps.

    None is the identity. However it was given, its state has the same keys.

    Raises:
        InputError: for an unknown step or argument.
    """
    if isinstance(preprocess, Bijection):
        return Compose(_flattened(preprocess))
    layers: list[Bijection] = []
    for step in preprocess or ():
        arguments = {str(key): value for key, value in step.items() if key != "name"}
        name = str(step.get("name"))
        if name not in STEPS:
            raise InputError(f"preprocess: name = {name!r}; allowed: {', '.join(STEPS)}")
        try:
            layers.append(STEPS[name](event_shape, **arguments))  # type: ignore[arg-type]
        except TypeError as error:
            raise InputError(f"preprocess {name}: {error}") from None
    return Compose(layers)


def _flattened(layer: Bijection) -> list[Bijection]:
    """Return a bijection's steps, those of compositions within it included."""
    if isinstance(layer, Compose):
        return [step for each in layer.sequence for step in _flattened(each)]
    return [layer]
