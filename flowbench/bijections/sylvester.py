r"""Sylvester layers, invertible in both directions.

All of them are :math:`z = x + V \sigma(W^T x + b)` with V and W of shape (D, M), M at most D: M
planar layers at once. With :math:`B = W^T V` and S the diagonal of the slopes at :math:`\alpha =
W^T x + b`, Sylvester's identity gives the log-determinant, :math:`\log\det(I + S B)`, from an
M x M matrix. `decode` projects the formula on W, which leaves :math:`\alpha + B\,\sigma(\alpha) =
W^T z + b`, solves these M equations to round-off, and subtracts.

The diagonal matrix that the literature puts before x is a layer of its own (`Diagonal`).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from flowbench.bijections.base import Bijection
from flowbench.bijections.kept import Kept
from flowbench.bijections.precision import full_precision, widened
from flowbench.numerics.convergence import Convergence
from flowbench.numerics.determinant import log_det_residual
from flowbench.numerics.implicit import triangular_root, vector_root
from flowbench.numerics.monotone import ACTIVATIONS
from flowbench.numerics.reflections import reflected
from flowbench.spec.vocabulary import InverseLabel

STEEPNESS = 3.0
"""Norm of a row of W^T at the start, and half of what its bends are spread over: on standardised
data each unit then has a corner of its own, as in the planar layer."""


class Factors(NamedTuple):
    """The matrices of a layer: V and W, ``(D, M)``, and B = W^T V, ``(M, M)``."""

    V: Tensor
    W: Tensor
    B: Tensor


class Sylvester(Bijection):
    r""":math:`z = x + V \sigma(W^T x + b)`; the formula is `encode`.

    Source: van den Berg et al. 2018, "Sylvester Normalizing Flows for Variational Inference",
    theorem 1 (there from latent to data: wrap the layer in `Inverse`). A subclass makes V and W
    so that the map is a bijection.

    Args:
        dim: number of coordinates D.
        bottleneck: M, the number of units, 1 to D.
        activation: a key of `ACTIVATIONS`.
        eps: how far the layer keeps from the border of invertibility.
    """

    keeps_activations_because = (
        "would solve as many equations in turn as a layer has hidden units, in every step"
    )

    def __init__(
        self, dim: int, bottleneck: int, activation: str = "tanh", eps: float = 1e-3
    ) -> None:
        super().__init__()
        self.dim = dim
        self.bottleneck = bottleneck
        self.activation = ACTIVATIONS[activation]
        self.floor = eps - 1 / self.activation.max_slope
        self.b = nn.Parameter(2 * torch.randn(bottleneck))
        self._kept = Kept(self)

    @property
    def inverse_label(self) -> InverseLabel:
        return "iterative"

    def factors(self) -> Factors:
        """Return V, W and B as the parameters now have them."""
        raise NotImplementedError

    def solve(self, tau: Tensor, B: Tensor) -> tuple[Tensor, Convergence]:
        r"""Solve :math:`\alpha + B\,\sigma(\alpha) = \tau`, differentiably."""
        raise NotImplementedError

    def log_det(self, slope: Tensor, B: Tensor) -> Tensor:
        """Return log det(I + S B) for slopes ``(N, M)``."""
        raise NotImplementedError

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, alpha, B = self._encode(x, context)
        return z, self.log_det(self.activation.slope(alpha), B)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, alpha, B = self._decode(z, context)
        return x, -self.log_det(self.activation.slope(alpha), B)

    def encode_map(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self._encode(x, context)[0]

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self._decode(z, context)[0]

    def after_step(self) -> None:
        self._kept.clear()

    def _factors(self) -> Factors:
        return Factors(*self._kept.get("factors", self.factors))

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        self.refuse_context(context)
        with full_precision(x):
            x = widened(x)
            V, W, B = self._factors()
            alpha = torch.addmm(self.b, x, W)
            return torch.addmm(x, self.activation.value(alpha), V.T), alpha, B

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        self.refuse_context(context)
        with full_precision(z):
            z = widened(z)
            V, W, B = self._factors()
            alpha, self.convergence = self.solve(torch.addmm(self.b, z, W), B)
            return torch.addmm(z, self.activation.value(alpha), V.T, alpha=-1), alpha, B


class Triangular(Sylvester):
    r"""V = Q R and :math:`W^T = \tilde R Q^T` with orthonormal Q and triangular R, R-tilde.

    Then :math:`B = \tilde R R` is upper-triangular, the log-determinant a sum over its diagonal,
    and `decode` a back-substitution of scalar monotone equations. The map is a bijection where
    :math:`p_i = \tilde r_{ii} r_{ii} > -1/S`. The paper takes the tanh of both diagonals; here
    :math:`\tilde r_{ii} = e^{l_i}` and :math:`p_i = -1/S + \epsilon + \mathrm{softplus}(a_i)`,
    which reaches every such pair: a negative :math:`\tilde r_{ii}` is the same as a change of sign
    of row i of R-tilde, of :math:`b_i` and of column i of R, because :math:`\sigma` is odd.
    """

    places: Tensor

    def __init__(self, dim: int, bottleneck: int, activation: str, eps: float) -> None:
        super().__init__(dim, bottleneck, activation, eps)
        M = bottleneck
        # Row by row what lies above the diagonals, and on them l and a; a starts at p = 0.
        places = torch.triu_indices(M, M)
        on_diagonal = places[0] == places[1]
        level = math.log(math.expm1(-self.floor))
        self.R = nn.Parameter(
            torch.where(on_diagonal, level, 0.1 / STEEPNESS * torch.randn(len(on_diagonal)))
        )
        self.R_tilde = nn.Parameter(
            torch.where(
                on_diagonal,
                math.log(STEEPNESS),
                STEEPNESS / M**0.5 * torch.randn(len(on_diagonal)),
            )
        )
        self.register_buffer("places", places, persistent=False)

    def rotate(self, matrix: Tensor) -> Tensor:
        """Return Q times a matrix ``(M, C)``, ``(D, C)``."""
        raise NotImplementedError

    def factors(self) -> Factors:
        R, R_tilde = self._unpacked(self.R), self._unpacked(self.R_tilde)
        diagonal = R_tilde.diagonal().exp()
        p = self.floor + softplus(R.diagonal())
        R_tilde = R_tilde.diagonal_scatter(diagonal)
        R = R.diagonal_scatter(p / diagonal)
        V, W = self.rotate(torch.cat((R, R_tilde.T), 1)).chunk(2, 1)
        return Factors(V, W, R_tilde @ R)

    def solve(self, tau: Tensor, B: Tensor) -> tuple[Tensor, Convergence]:
        return triangular_root(tau, B, self.activation)

    def log_det(self, slope: Tensor, B: Tensor) -> Tensor:
        return torch.log1p(slope * B.diagonal()).sum(1)

    def _unpacked(self, values: Tensor) -> Tensor:
        matrix = values.new_zeros(self.bottleneck, self.bottleneck)
        return matrix.index_put((self.places[0], self.places[1]), values)


class OrthogonalSylvester(Triangular):
    """Triangular factors in an orthonormal basis, a product of Householder reflections.

    It is orthonormal to round-off whatever the reflections' vectors are. M reflections reach
    every basis of M vectors (but, for M = D, not both signs of its determinant): the paper's
    orthogonal variant, which orthogonalises by iteration. Its Householder variant has fewer.

    Args:
        dim: number of coordinates D.
        bottleneck: M, the number of units, 1 to D.
        activation: a key of `ACTIVATIONS`.
        eps: how far the layer keeps from the border of invertibility.
        reflections: how many; None for M.
    """

    def __init__(
        self,
        dim: int,
        bottleneck: int,
        activation: str = "tanh",
        eps: float = 1e-3,
        reflections: int | None = None,
    ) -> None:
        super().__init__(dim, bottleneck, activation, eps)
        # On the line there is but one basis, up to its sign.
        count = (reflections or bottleneck) if dim > 1 else 0
        self.vectors = nn.Parameter(torch.randn(count, dim)) if count else None

    def rotate(self, matrix: Tensor) -> Tensor:
        return matrix if self.vectors is None else reflected(self.vectors, matrix)


class TriangularSylvester(Triangular):
    """Triangular factors in the coordinates themselves, or in their reversed order; M = D.

    Args:
        dim: number of coordinates D.
        activation: a key of `ACTIVATIONS`.
        eps: how far the layer keeps from the border of invertibility.
        reverse: whether the order is reversed; layers in a row alternate.
    """

    def __init__(
        self, dim: int, activation: str = "tanh", eps: float = 1e-3, *, reverse: bool = False
    ) -> None:
        super().__init__(dim, dim, activation, eps)
        self.reverse = reverse

    def rotate(self, matrix: Tensor) -> Tensor:
        return matrix.flip(0) if self.reverse else matrix


class GeneralSylvester(Sylvester):
    r"""V and W free, but that V is scaled down where the map would fold.

    The map is a bijection where the smallest eigenvalue :math:`\lambda` of :math:`(W^T V + V^T
    W)/2` is above -1/S: then :math:`S_{\alpha}^{-1} + B` has a positive definite symmetric part
    for all slopes in (0, S], so the Jacobian's determinant is positive everywhere. With
    :math:`c = 1/S - \epsilon`,

    .. math:: \hat V = \frac{V}{1 + \mathrm{softplus}(-\lambda / c - 1)}

    has :math:`\hat\lambda \ge -c`, because :math:`1 + \mathrm{softplus}(t - 1) \ge t`, and every V
    with :math:`\hat\lambda > -c` is some :math:`\hat V`. (The planar layer's shift along W would
    be :math:`W (W^T W)^{-1}` here, which has no bound where columns of W are nearly parallel.)
    `decode` is a damped Newton iteration in M dimensions.
    """

    def __init__(
        self, dim: int, bottleneck: int, activation: str = "tanh", eps: float = 1e-3
    ) -> None:
        super().__init__(dim, bottleneck, activation, eps)
        self.W = nn.Parameter(STEEPNESS * torch.randn(dim, bottleneck) / dim**0.5)
        self.V = nn.Parameter(0.1 * torch.randn(dim, bottleneck) / dim**0.5)

    def factors(self) -> Factors:
        B = self.W.T @ self.V
        # Not eigvalsh: without gradients it takes another road, and its last digits differ.
        least = torch.linalg.eigh((B + B.T) / 2).eigenvalues[0]
        shrink = 1 / (1 + softplus(least / self.floor - 1))
        return Factors(shrink * self.V, self.W, shrink * B)

    def solve(self, tau: Tensor, B: Tensor) -> tuple[Tensor, Convergence]:
        return vector_root(tau, B, self.activation)

    def log_det(self, slope: Tensor, B: Tensor) -> Tensor:
        return log_det_residual(slope[:, :, None] * B)
