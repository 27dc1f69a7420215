"""Layers whose Lipschitz constant is bounded, and their derivatives along given directions.

Every layer here has, besides `forward`, a method `linearise` that returns the output together
with the product of the layer's Jacobian and tangents. Carrying tangents forward costs one pass
through the linear maps for each of them, and leaves a graph of first derivatives only: a
log-determinant trained through it needs no second backward pass.
"""

from collections.abc import Callable
from math import prod
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, normalize

from flowbench.numerics.spectral import (
    LinearMap,
    convolution,
    convolution_norm_bound,
    matrix_norm_bound,
    power_iteration,
)

JacobianProduct = Callable[[Tensor], Tensor]
"""Takes tangents ``(P, N, *event)``, or ``(P, 1, *event)`` where shared, through a Jacobian."""


class LipschitzLayer(nn.Module):
    """A layer that moves two outputs at most `lipschitz` times as far apart as its inputs."""

    lipschitz: float = 1.0

    def linearise(self, x: Tensor) -> tuple[Tensor, JacobianProduct]:
        """Return the output at ``x``, ``(N, *event)``, and the product with the Jacobian there."""
        raise NotImplementedError

    def frozen(self) -> Callable[[Tensor], Tensor]:
        """Return the layer at its present parameters, without gradient, for many calls."""
        return self

    def norm_bound(self) -> float:
        """Return a certified upper bound of the layer's Lipschitz constant as it stands."""
        return self.lipschitz


FOLLOWED = 8
"""Singular pairs that follow a weight: so many may come to lead before one is overlooked."""


class SpectralLayer(LipschitzLayer):
    """A linear map plus a bias, its weight scaled down where its norm exceeds `lipschitz`.

    The bound is hard and one-sided: a weight of smaller norm is left as it is. The norm is the
    estimate of a power iteration whose leading pairs u and v, `FOLLOWED` of them where there are
    as many, are buffers, made at construction, so that a checkpoint carries them. `restore` brings
    the estimate to tolerance; it is called after each step, on loading and on the switch to eval,
    and at no other time, so that encode and decode in eval mode use the same map. It draws no
    random numbers: every rank stays alike.
    """

    u: Tensor
    v: Tensor
    weight: nn.Parameter
    bias: nn.Parameter

    step_tolerance = 1e-3
    """Of the norm, relatively, after a step: the weight moves on at once."""

    eval_tolerance = 1e-5
    """Of the norm, relatively, when the map is about to be inverted."""

    def __init__(self, lipschitz: float, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.lipschitz = lipschitz
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.register_load_state_dict_post_hook(_restore_after_load)  # type: ignore[no-untyped-call]

    def _start(self, u_shape: tuple[int, ...], v_shape: tuple[int, ...]) -> None:
        """Register u and v, converge them from a fixed start, and scale the weight."""
        generator = torch.Generator().manual_seed(0)
        pairs = min(FOLLOWED, prod(u_shape), prod(v_shape))
        for name, shape in (("u", u_shape), ("v", v_shape)):
            vectors = torch.randn(pairs, *shape, generator=generator).to(self.weight)
            self.register_buffer(name, normalize(vectors.flatten(1)).reshape(vectors.shape))
        self.restore(self.eval_tolerance)
        # Start at the bound: a branch of small norm is slow to grow into a flow that does much
        # (moons, 16 blocks, 1,000 steps: 0.02 nats from the entropy instead of 0.28).
        with torch.no_grad():
            self.weight.mul_(self.lipschitz / self.norm)

    def maps(self, weight: Tensor) -> tuple[LinearMap, LinearMap]:
        """Return the linear map of `weight` on a batch of events, and its adjoint."""
        raise NotImplementedError

    def affine(self, weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the map of `weight` on a batch of events, plus a bias."""
        raise NotImplementedError

    @property
    def norm(self) -> Tensor:
        """The estimated norm of the raw weight, differentiable in it."""
        return (self.u[:1] * self.maps(self.weight)[0](self.v[:1])).sum()

    def bounded_weight(self) -> Tensor:
        """Return the weight, scaled down to norm `lipschitz` where it is above."""
        return self.weight * self._share

    @property
    def _share(self) -> Tensor:
        """Which part of the weight its bound allows; 1 where it is within."""
        # max(norm, c), not min(c / norm, 1): the latter's gradient is NaN for a zero weight.
        return self.lipschitz / self.norm.clamp(min=self.lipschitz)

    @torch.no_grad()
    def frozen(
        self, before: float | Tensor = 1.0, after: float | Tensor = 1.0
    ) -> Callable[[Tensor], Tensor]:
        """Return the layer at its present parameters, of ``before * x`` and times ``after``."""
        return self.affine(self.weight * (self._share * before * after), self.bias * after)

    @torch.no_grad()
    def restore(self, tolerance: float, *, advance: bool = False) -> None:
        """Bring u and v, and with them the norm's estimate, to tolerance.

        Args:
            tolerance: relative, see `power_iteration`.
            advance: move on in any case, as training must: the weights move too. Without it a
                pair that one iteration improves by less than ten times the tolerance is left as
                it is, so that a second call changes nothing and a loaded model equals the saved.
        """
        forward, adjoint = self.maps(self.weight)
        if not advance:
            settled = 10 * tolerance
            *_, iterations = power_iteration(
                forward, adjoint, self.u, self.v, tolerance=settled, max_iterations=2
            )
            if iterations == 1:
                return
        u, v, _ = power_iteration(forward, adjoint, self.u, self.v, tolerance=tolerance)
        self.u.copy_(u)
        self.v.copy_(v)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if not mode:
            self.restore(self.eval_tolerance)
        return self


class LipschitzLinear(SpectralLayer):
    """A linear layer from ``in_features`` to ``out_features`` of norm at most `lipschitz`.

    In eval mode its estimated norm is the largest singular value itself, so that the bound is
    certified and not only approached.
    """

    def __init__(self, in_features: int, out_features: int, lipschitz: float) -> None:
        start = nn.Linear(in_features, out_features)
        super().__init__(lipschitz, start.weight.detach(), start.bias.detach())
        self._start((out_features,), (in_features,))

    def maps(self, weight: Tensor) -> tuple[LinearMap, LinearMap]:
        return lambda v: linear(v, weight), lambda u: linear(u, weight.t())

    def affine(self, weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: linear(x, weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.bounded_weight(), self.bias)

    def linearise(self, x: Tensor) -> tuple[Tensor, JacobianProduct]:
        weight = self.bounded_weight()
        return linear(x, weight, self.bias), lambda tangents: linear(tangents, weight)

    @torch.no_grad()
    def restore(self, tolerance: float, *, advance: bool = False) -> None:
        if self.training or not self.weight.isfinite().all():
            super().restore(tolerance, advance=advance)
            return
        left, _, right = torch.linalg.svd(self.weight, full_matrices=False)
        self.u.copy_(left.T[: len(self.u)])
        self.v.copy_(right[: len(self.v)])

    def norm_bound(self) -> float:
        return matrix_norm_bound(self.bounded_weight())


class LipschitzConv2d(SpectralLayer):
    """A zero-padded convolution that keeps the image's size, of norm at most `lipschitz`.

    The norm is that of the operator on images of the given size, not of the reshaped kernel.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd.
        size: height and width of the image.
        lipschitz: bound of the operator's norm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        size: tuple[int, int],
        lipschitz: float,
    ) -> None:
        start = nn.Conv2d(in_channels, out_channels, kernel_size)
        assert start.bias is not None
        super().__init__(lipschitz, start.weight.detach(), start.bias.detach())
        # A kernel of one pixel is the same matrix at each: one pixel has the norm of all.
        self.size = size if kernel_size > 1 else (1, 1)
        self.padding = (kernel_size // 2, kernel_size // 2)
        self._start((out_channels, *self.size), (in_channels, *self.size))

    def maps(self, weight: Tensor) -> tuple[LinearMap, LinearMap]:
        return convolution(weight, self.padding)

    def affine(self, weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: conv2d(x, weight, bias, padding=self.padding)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.bounded_weight(), self.bias, padding=self.padding)

    def linearise(self, x: Tensor) -> tuple[Tensor, JacobianProduct]:
        weight = self.bounded_weight()

        def product(tangents: Tensor) -> Tensor:
            images = conv2d(tangents.flatten(0, 1), weight, padding=self.padding)
            unflattened: Tensor = images.unflatten(0, tangents.shape[:2])
            return unflattened

        return conv2d(x, weight, self.bias, padding=self.padding), product

    def norm_bound(self) -> float:
        return convolution_norm_bound(self.bounded_weight(), self.size)


def _restore_after_load(layer: SpectralLayer, _: object) -> None:
    """Bring the norm of loaded weights to tolerance: the vectors loaded may be stale."""
    layer.restore(layer.step_tolerance if layer.training else layer.eval_tolerance)
