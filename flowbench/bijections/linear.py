"""Invertible linear maps of a vector's coordinates, or of the channels at each pixel."""

from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from flowbench.bijections.base import Bijection
from flowbench.bijections.kept import Kept
from flowbench.bijections.precision import full_precision, widened
from flowbench.errors import NotInvertible


class LinearMap(Bijection):
    r""":math:`z = W x`, on images at every pixel (a 1x1 convolution); the formula is `encode`.

    Source: Kingma and Dhariwal 2018, "Glow", section 3.2; on images the log-determinant is
    :math:`H W \log|\det W|` (equation 9). W starts as a random rotation. Its inverse is formed in
    float64, whatever the dtype of the layer.

    Args:
        event_shape: ``(D,)`` or ``(C, H, W)``; the map acts on the first axis.
    """

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.size, *rest = event_shape
        self.positions = prod(rest)
        self._kept = Kept(self)

    def weight(self) -> Tensor:
        """Return W, ``(F, F)`` for F coordinates or channels."""
        raise NotImplementedError

    def inverse_weight(self) -> Tensor:
        """Return the inverse of W, ``(F, F)``."""
        raise NotImplementedError

    def weight_log_det(self) -> Tensor:
        """Return log|det W|, ``()``."""
        raise NotImplementedError

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.encode_map(x, context), self._log_det().expand(len(x))

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.decode_map(z, context), (-self._log_det()).expand(len(z))

    def encode_map(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.refuse_context(context)
        with full_precision(x):
            return _applied(self._kept.get("weight", self.weight), widened(x))

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        self.refuse_context(context)
        with full_precision(z):
            return _applied(self._kept.get("inverse", self.inverse_weight), widened(z))

    def after_step(self) -> None:
        self._kept.clear()

    def _log_det(self) -> Tensor:
        return self.positions * self._kept.get("log_det", self.weight_log_det)


class PlainLinear(LinearMap):
    """A `LinearMap` whose parameter is W itself, which training may lead to a singular matrix.

    Raises:
        NotInvertible: if W is singular. On a GPU, where looking means waiting for the device,
            training mode does not look when encoding, nor does a compiled call: its log-determinant
            is -inf there.
    """

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__(event_shape)
        self.matrix = nn.Parameter(nn.init.orthogonal_(torch.empty(self.size, self.size)))

    def weight(self) -> Tensor:
        return self.matrix

    def inverse_weight(self) -> Tensor:
        inverse: Tensor
        inverse, failed = torch.linalg.inv_ex(self.matrix.double())
        self._refuse_singular(failed.bool())
        return inverse.to(self.matrix.dtype)

    def weight_log_det(self) -> Tensor:
        # In float32 a well-conditioned W of many channels can overflow the determinant's product.
        log_det: Tensor = torch.linalg.slogdet(self.matrix.double())[1]
        looks = log_det.device.type == "cpu" or not self.training
        if looks and not torch.compiler.is_compiling():
            self._refuse_singular(log_det.detach() == -torch.inf)
        return log_det.to(self.matrix.dtype)

    def _refuse_singular(self, singular: Tensor) -> None:
        if singular:
            where = f"layer {self.path}" if self.path else "a linear layer"
            raise NotInvertible(f"{where}: its {self.size} x {self.size} matrix is singular")


class LULinear(LinearMap):
    r"""A `LinearMap` with :math:`W = P L (U + \mathrm{diag}(\sigma e^{s}))`, never singular.

    Source: Kingma and Dhariwal 2018, "Glow", equation 10: P a fixed permutation, L unit lower
    and U strictly upper triangular. The signs :math:`\sigma` are fixed with P, so that the
    diagonal stays away from zero; log|det W| is the sum of s.
    """

    rows: Tensor
    sign: Tensor

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__(event_shape)
        rotation = nn.init.orthogonal_(torch.empty(self.size, self.size))
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.register_buffer("rows", permutation.argmax(1))
        self.register_buffer("sign", diagonal.sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_scale = nn.Parameter(diagonal.abs().log())

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return L and the whole upper factor, ``(F, F)`` each."""
        lower = self.lower.tril(-1) + torch.eye(self.size).to(self.lower)
        return lower, self.upper.triu(1) + torch.diag(self.sign * self.log_scale.exp())

    def weight(self) -> Tensor:
        lower, upper = self.factors()
        return (lower @ upper)[self.rows]

    def inverse_weight(self) -> Tensor:
        lower, upper = (factor.double() for factor in self.factors())
        transposed_permutation = torch.eye(self.size).to(lower)[self.rows].T
        solve = torch.linalg.solve_triangular
        half_solved = solve(lower, transposed_permutation, upper=False, unitriangular=True)
        inverse: Tensor = solve(upper, half_solved, upper=True)
        return inverse.to(self.lower.dtype)

    def weight_log_det(self) -> Tensor:
        return self.log_scale.sum()


def _applied(matrix: Tensor, x: Tensor) -> Tensor:
    """Apply a matrix to vectors ``(N, F)``, or at every pixel of ``(N, F, H, W)``."""
    if x.dim() == 2:
        return linear(x, matrix)
    # Not conv2d, which for a few channels on a CPU spends most of its time in preparations.
    return torch.bmm(matrix.expand(len(x), -1, -1), x.flatten(2)).view_as(x)
