"""Networks of a Lipschitz constant below one: the branch g of a residual block x + g(x)."""

from collections.abc import Callable
from functools import reduce
from itertools import pairwise, zip_longest
from math import prod
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, silu, softplus

from flowbench.networks.lipschitz import (
    JacobianProduct,
    LipschitzConv2d,
    LipschitzLayer,
    LipschitzLinear,
    SpectralLayer,
)

Activation = Literal["lipswish", "elu", "tanh"]

START_BETA = 5.0


class Elementwise(LipschitzLayer):
    """An activation of slope at most one."""

    def value_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activation and its derivative, both differentiable."""
        raise NotImplementedError

    def linearise(self, x: Tensor) -> tuple[Tensor, JacobianProduct]:
        y, slope = self.value_and_slope(x)
        return y, lambda tangents: slope * tangents

    def factors(self) -> tuple[float | Tensor, Callable[[Tensor], Tensor], float | Tensor]:
        """Return b, f and a such that the activation is ``a f(b x)`` and f is fast."""
        return 1.0, self, 1.0


class LipSwish(Elementwise):
    r""":math:`x\,\sigma(\beta x) / 1.1` with a learned positive :math:`\beta`.

    Source: Chen et al. 2019, "Residual Flows for Invertible Generative Modeling", section 3.3.
    The largest slope of :math:`x \sigma(\beta x)` is 1.0998, whatever :math:`\beta` is. Its second
    derivative does not vanish where the first is near one, so the log-det keeps its gradient.

    It starts at :math:`\beta = 5`, not 1: the units behind a weight of bounded norm see inputs of a
    few tenths, over which a soft kink is a straight line (rings, 16 blocks: 27 % of the gap to the
    entropy closed instead of 6 %).
    """

    def __init__(self) -> None:
        super().__init__()
        self.raw_beta = nn.Parameter(torch.tensor(START_BETA).expm1().log())

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x * softplus(self.raw_beta)) / 1.1

    def value_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scaled = x * softplus(self.raw_beta)
        gate = torch.sigmoid(scaled)
        shrunk = gate / 1.1
        return x * shrunk, shrunk * (1 + scaled * (1 - gate))

    def factors(self) -> tuple[float | Tensor, Callable[[Tensor], Tensor], float | Tensor]:
        beta = softplus(self.raw_beta)
        return beta, silu, 1 / (1.1 * beta)


class ELU(Elementwise):
    r""":math:`x` above zero, :math:`e^x - 1` below."""

    def forward(self, x: Tensor) -> Tensor:
        return elu(x)

    def value_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return elu(x), x.clamp(max=0).exp()


class Tanh(Elementwise):
    r""":math:`\tanh x`."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def value_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.tanh(x)
        return y, 1 - y.square()


ACTIVATIONS: dict[Activation, type[Elementwise]] = {"lipswish": LipSwish, "elu": ELU, "tanh": Tanh}


class Contractive(LipschitzLayer):
    """Linear maps and activations in turn, a map first and last.

    The Lipschitz constant of the whole is at most the product of theirs.
    """

    def __init__(self, layers: list[LipschitzLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.lipschitz = prod(layer.lipschitz for layer in layers)

    @property
    def sequence(self) -> list[LipschitzLayer]:
        """The layers, from input to output."""
        return cast("list[LipschitzLayer]", list(self.layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.sequence:
            x = layer(x)
        return x

    def linearise(self, x: Tensor) -> tuple[Tensor, JacobianProduct]:
        products = []
        for layer in self.sequence:
            x, product = layer.linearise(x)
            products.append(product)

        def through_all(tangents: Tensor) -> Tensor:
            for product in products:
                tangents = product(tangents)
            return tangents

        return x, through_all

    @torch.no_grad()
    def frozen(self) -> Callable[[Tensor], Tensor]:
        """Return the network at its present parameters, without gradient, faster than itself.

        Bounded weights are computed once, and the activations' factors are folded into them.
        """
        calls: list[Callable[[Tensor], Tensor]] = []
        owed: float | Tensor = 1.0
        for layer, following in zip_longest(self.sequence, self.sequence[1:]):
            if isinstance(layer, SpectralLayer):
                asked = following.factors()[0] if isinstance(following, Elementwise) else 1.0
                calls.append(layer.frozen(owed, asked))
            elif isinstance(layer, Elementwise):
                _, fast, owed = layer.factors()
                calls.append(fast)
        return lambda x: reduce(lambda given, call: call(given), calls, x)

    def norm_bound(self) -> float:
        return prod(layer.norm_bound() for layer in self.sequence)


def contractive_mlp(
    dim: int, hidden: tuple[int, ...], lipschitz: float, activation: Activation
) -> Contractive:
    """Build an MLP from ``(N, dim)`` to itself of Lipschitz constant at most `lipschitz`.

    Each of its ``len(hidden) + 1`` linear maps gets the same share of the bound.
    """
    widths = [dim, *hidden, dim]
    share = lipschitz ** (1 / (len(widths) - 1))
    layers: list[LipschitzLayer] = []
    for width_in, width_out in pairwise(widths):
        layers += [LipschitzLinear(width_in, width_out, share), ACTIVATIONS[activation]()]
    return Contractive(layers[:-1])


def contractive_conv(
    shape: tuple[int, int, int], hidden: tuple[int, ...], lipschitz: float, activation: Activation
) -> Contractive:
    """Build a convolutional network from ``(N, C, H, W)`` to itself.

    The first and the last convolution are 3 x 3, those between 1 x 1, as in Residual Flow (Chen
    et al. 2019, appendix E); each gets the same share of the bound.
    """
    channels, *size = shape
    widths = [channels, *hidden, channels]
    share = lipschitz ** (1 / (len(widths) - 1))
    layers: list[LipschitzLayer] = []
    for index, (width_in, width_out) in enumerate(pairwise(widths)):
        kernel = 3 if index in (0, len(widths) - 2) else 1
        conv = LipschitzConv2d(width_in, width_out, kernel, (size[0], size[1]), share)
        layers += [conv, ACTIVATIONS[activation]()]
    return Contractive(layers[:-1])


def jacobian_norms(branch: LipschitzLayer, x: Tensor, iterations: int = 30) -> Tensor:
    """Return the norm of a branch's Jacobian at each sample ``(N, *event)``, from below: ``(N,)``.

    The largest of them is what the branch's Lipschitz constant really is on those samples; the
    product of its layers' constants is often twice as large.
    """
    x = x.detach().requires_grad_()
    image, product = branch.linearise(x)
    direction = torch.ones_like(x)
    stretched = image
    for _ in range(iterations):
        norm = direction.flatten(1).norm(dim=1).clamp(min=torch.finfo(x.dtype).tiny)
        unit = direction / norm.reshape(-1, *[1] * (x.dim() - 1))
        stretched = product(unit[None])[0].detach()
        (direction,) = torch.autograd.grad(image, x, stretched, retain_graph=True)
    norms: Tensor = stretched.flatten(1).norm(dim=1)
    return norms
