"""One thing to check, at one set of parameters: the model, points, and the truth about them."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor, nn

from flowbench.bijections.base import Bijection
from flowbench.conformance.perturb import perturb

WELL_CONDITIONED = 1e6
"""Largest condition number of the Jacobian at which a log-determinant is held to 1e-8."""

MOST_DIMENSIONS = 1024
"""Above this many a full Jacobian takes too long to be waited for."""

NUMBERS_AT_ONCE = 2**15
"""Coordinates that one backward pass of a Jacobian takes; bounds memory on large events."""


class Undecided(Exception):
    """A check cannot be made on this case, for the reason given."""


@dataclass(frozen=True)
class Subject:
    """What is checked.

    Attributes:
        group: see `CheckResult`.
        name: see `CheckResult`.
        build: makes the model anew; its random start follows torch's global generator.
        event_shape: of the data.
        latent_shape: of the latent.
        context_size: number of context features C, 0 for none.
        scale: how far parameters are perturbed; None leaves them as they are.
        points: events ``(N, *event_shape)`` to check at, beside a flow's own samples; None draws
            noise in their place where parameters are perturbed, and only samples elsewhere.
        context: ``(N, C)`` for `points`.
        seed: of the model's start, the perturbation and the points.
    """

    group: str
    name: str
    build: Callable[[], nn.Module]
    event_shape: tuple[int, ...]
    latent_shape: tuple[int, ...]
    context_size: int = 0
    scale: float | None = None
    points: Tensor | None = None
    context: Tensor | None = None
    seed: int = 0


class Case:
    """A subject built in float64 and eval mode, its parameters perturbed, with points.

    Attributes:
        subject: what it was built from.
        model: a `Flow`, a `ForeignFlow` or a `Bijection`.
        x: data ``(N, *event_shape)``: normal noise and, of a flow, its own samples.
        z: latents ``(N, *latent_shape)``.
        context: ``(N, C)`` or None.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        torch.manual_seed(subject.seed)
        self.model = subject.build().double()
        if subject.scale is not None:
            perturb(self.model, subject.scale)
        self.model.eval()
        self.dim = prod(subject.event_shape)
        count = _points_for(self.dim)
        self.z = torch.randn(count, *subject.latent_shape, dtype=torch.float64)
        self.context: Tensor | None = None
        if subject.context is not None:
            self.context = subject.context[:count].double()
        elif subject.context_size:
            self.context = torch.randn(count, subject.context_size, dtype=torch.float64)
        self.x = self._points(count)

    @property
    def is_layer(self) -> bool:
        """Whether this is a layer, which has no density."""
        return isinstance(self.model, Bijection)

    @property
    def can_encode(self) -> bool:
        return self.is_layer or bool(self.model.can_encode)

    @property
    def can_decode(self) -> bool:
        return self.is_layer or bool(self.model.can_decode)

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode by the model, at the case's own context where none is given."""
        return self.model.encode(x, self._given(context, x))  # type: ignore[operator, no-any-return]

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Decode by the model, at the case's own context where none is given."""
        return self.model.decode(z, self._given(context, z))  # type: ignore[operator, no-any-return]

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the flow's log-density."""
        return self.model.log_prob(x, self._given(context, x))  # type: ignore[operator, no-any-return]

    def encode_map(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Encode by a layer without a log-determinant."""
        return self.model.encode_map(x, self._given(context, x))  # type: ignore[operator, no-any-return]

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Decode without a log-determinant."""
        return self.model.decode_map(z, self._given(context, z))  # type: ignore[operator, no-any-return]

    @cached_property
    def noisy(self) -> bool:
        """Whether log-dets are random in eval mode: two draws of the noise differ."""
        if self.model.log_det_label != "estimate" or not self.can_encode:
            return False
        with torch.no_grad():
            draws = []
            for draw in (1, 2):
                draw_anew(self.model, draw, len(self.x))
                draws.append(self.encode(self.x)[1])
        return not torch.equal(draws[0], draws[1])

    @property
    def bias_bound(self) -> float:
        """Largest bias in nats that the layers' log-dets admit to (truncated series)."""
        return sum(float(getattr(layer, "bias_bound", 0.0)) for layer in self.layers)

    @property
    def layers(self) -> list[Bijection]:
        """Every layer in the model, at any depth."""
        return [module for module in self.model.modules() if isinstance(module, Bijection)]

    def with_model(self, model: nn.Module) -> Case:
        """Return this case with another model, which nothing is known of yet."""
        other = copy(self)
        for name in [
            name for name in vars(other) if isinstance(getattr(Case, name, None), cached_property)
        ]:
            del vars(other)[name]
        other.model = model
        return other

    def numbers(self, x: Tensor, z: Tensor, context: Tensor | None) -> dict[str, Tensor]:
        """Return all that the model says of points, by name: what must not change."""
        said: dict[str, Tensor] = {}
        with torch.no_grad():
            if self.can_encode:
                said["encode"], said["encode's log-det"] = self.encode(x, context)
            if self.can_decode:
                said["decode"], said["decode's log-det"] = self.decode(z, context)
            if not self.is_layer:
                said["log_prob"] = self.log_prob(x, context)
        return said

    @cached_property
    def encoded(self) -> tuple[Tensor, Tensor]:
        """Latents and log-dets of `x`."""
        with torch.no_grad():
            return self.encode(self.x)

    @cached_property
    def decoded(self) -> tuple[Tensor, Tensor]:
        """Data and log-dets of `z`."""
        with torch.no_grad():
            return self.decode(self.z)

    @cached_property
    def jacobian_at_x(self) -> Tensor:
        """Jacobians of encode at `x`, ``(N, D, D)``, by autograd."""
        return self.encode_jacobian(self.x, self.context)

    @cached_property
    def jacobian_at_z(self) -> Tensor:
        """Jacobians of decode at `z`, ``(N, D, D)``, by autograd."""
        return self.decode_jacobian(self.z, self.context)

    def encode_jacobian(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the Jacobians of encode at ``x``, ``(N, D, D)``, by autograd."""
        return jacobians(lambda x, c: self.encode(x, c)[0], x, context)

    def decode_jacobian(self, z: Tensor, context: Tensor | None) -> Tensor:
        """Return the Jacobians of decode at ``z``, ``(N, D, D)``, by autograd."""
        return jacobians(lambda z, c: self.decode(z, c)[0], z, context)

    @cached_property
    def condition_at_x(self) -> Tensor:
        """Condition numbers of encode's Jacobians at `x`, ``(N,)``."""
        return condition(self.jacobian_at_x)

    @cached_property
    def condition_at_z(self) -> Tensor:
        """Condition numbers of decode's Jacobians at `z`, ``(N,)``."""
        return condition(self.jacobian_at_z)

    def stretch_of(self, name: str) -> Tensor:
        """Return the Jacobians' norms behind one of `numbers`; zeros where there are none."""
        if self.dim > MOST_DIMENSIONS or not self.can_encode:
            return self.x.new_zeros(len(self.x))
        jacobian = self.jacobian_at_z if name.startswith("decode") else self.jacobian_at_x
        norms: Tensor = torch.linalg.matrix_norm(jacobian, 2)
        return norms

    def well(self, condition: Tensor) -> Tensor:
        """Return which points are well conditioned, ``(N,)``.

        Raises:
            Undecided: if none is, for round-off then hides errors.
        """
        well = condition < WELL_CONDITIONED
        if not well.any():
            raise Undecided("cond(J) is 1e6 or more at every point")
        return well

    def _given(self, context: Tensor | None, like: Tensor) -> Tensor | None:
        if context is not None or self.context is None:
            return context
        return self.context[: len(like)]

    def _points(self, count: int) -> Tensor:
        """Return the given points, or noise where any event will do, and a flow's own samples."""
        subject = self.subject
        if subject.points is not None:
            x = subject.points[:count].double()
        elif subject.scale is not None:
            x = torch.randn(count, *subject.event_shape, dtype=torch.float64)
        else:
            x = self.z.new_zeros(0, *subject.event_shape)
        if self.is_layer:
            return x
        own: Tensor = self.model.sample(count, self.context)  # type: ignore[operator]
        kept = x[: count // 2]
        return torch.cat((kept, own[len(kept) :]))


def draw_anew(model: nn.Module, draw: int, count: int) -> None:
    """Give all noise of the model's next call the key of a draw, on `count` rows."""
    torch.manual_seed(draw)
    rows = torch.arange(count)
    for module in model.modules():
        if isinstance(module, Bijection):
            module.key_noise(draw, 0, rows)


def _points_for(dim: int) -> int:
    """Return how many points a Jacobian of each is affordable for."""
    return 8 if dim <= 8 else 4 if dim <= 512 else 2


def jacobians(
    function: Callable[[Tensor, Tensor | None], Tensor], x: Tensor, context: Tensor | None
) -> Tensor:
    """Return the Jacobian of a row-wise function at each row of ``(N, *event)``: ``(N, D, D)``.

    Each row is repeated D times and each copy asked for the gradient of one output, which is one
    backward pass for all. It suits every autograd function, also those that vmap refuses.
    """
    dim = x[0].numel()
    if dim > MOST_DIMENSIONS:
        raise Undecided(f"a full Jacobian in {dim} dimensions takes too long")
    copies = torch.arange(len(x) * dim)
    found = []
    for chunk in copies.split(max(1, NUMBERS_AT_ONCE // dim)):
        row, output = (chunk // dim).to(x.device), (chunk % dim).to(x.device)
        point = x[row].detach().requires_grad_()
        with torch.enable_grad():
            image = function(point, None if context is None else context[row]).flatten(1)
            (gradient,) = torch.autograd.grad(image.gather(1, output[:, None]).sum(), point)
        found.append(gradient.flatten(1))
    return torch.cat(found).reshape(len(x), dim, dim)


def condition(jacobian: Tensor) -> Tensor:
    """Return the ratio of largest to least singular value, infinite where that is zero or NaN."""
    if not jacobian.isfinite().all():
        finite = jacobian.isfinite().all(-1).all(-1)
        jacobian = torch.where(finite[:, None, None], jacobian, torch.zeros_like(jacobian))
    values = torch.linalg.svdvals(jacobian)
    ratio: Tensor = values[:, 0] / values[:, -1]
    return ratio.nan_to_num(nan=torch.inf, posinf=torch.inf)
