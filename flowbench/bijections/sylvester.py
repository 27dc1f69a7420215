r"""Sylvester layers, invertible in both directions.

All of them are :math:`z = x + V \sigma(W^T x + b)` with V and W of shape (D, M), M at most D: M
planar layers at once. With :math:`B = W^T V` and S the diagonal of the slopes at :math:`\alpha =
W^T x + b`, Sylvester's identity gives the log-determinant, :math:`\log\det(I + S B)`, from an
M x M matrix. `decode` projects the formula on W, which leaves :math:`\alpha + B\,\sigma(\alpha) =
W^T z + b`, solves these M equations to round-off, and subtracts.

The diagonal matrix that the literature puts before x is a layer of its own (`Diagonal`).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from flowbench.bijections.base import Bijection
from flowbench.bijections.precision import full_precision, widened
from flowbench.numerics.convergence import Convergence
from flowbench.numerics.determinant import log_det_residual
from flowbench.numerics.implicit import triangular_root, vector_root
from flowbench.numerics.monotone import ACTIVATIONS
from flowbench.spec.vocabulary import InverseLabel

STEEPNESS = 3.0
"""Norm of a row of W^T at the start, and half of what its bends are spread over: on standardised
data each unit then has a corner of its own, as in the planar layer."""

REFLECTIONS = 8
"""Householder reflections of a layer at most, as in the paper's largest models but one."""


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

    def __init__(
        self, dim: int, bottleneck: int, activation: str = "tanh", eps: float = 1e-3
    ) -> None:
        super().__init__()
        self.dim = dim
        self.bottleneck = bottleneck
        self.activation = ACTIVATIONS[activation]
        self.floor = eps - 1 / self.activation.max_slope
        self.b = nn.Parameter(2 * torch.randn(bottleneck))

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

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        self.refuse_context(context)
        with full_precision(x):
            x = widened(x)
            V, W, B = self.factors()
            alpha = torch.addmm(self.b, x, W)
            return torch.addmm(x, self.activation.value(alpha), V.T), alpha, B

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        self.refuse_context(context)
        with full_precision(z):
            z = widened(z)
            V, W, B = self.factors()
            alpha, self.convergence = self.solve(torch.addmm(self.b, z, W), B)
            return torch.addmm(z, self.activation.value(alpha), V.T, alpha=-1), alpha, B


class OrthogonalSylvester(Sylvester):
    r"""V = Q R and :math:`W^T = \tilde R Q^T` with orthonormal Q and triangular R, R-tilde.

    Then :math:`B = \tilde R R` is upper-triangular, the log-determinant a sum over its diagonal,
    and `decode` a back-substitution of scalar monotone equations. The map is a bijection where
    :math:`p_i = \tilde r_{ii} r_{ii} > -1/S`. The paper takes the tanh of both diagonals; here
    :math:`\tilde r_{ii} = e^{l_i}` and :math:`p_i = -1/S + \epsilon + \mathrm{softplus}(\cdot)`,
    which reaches every such pair: a negative :math:`\tilde r_{ii}` is the same as a change of sign
    of row i of R-tilde, of :math:`b_i` and of column i of R, because :math:`\sigma` is odd.

    Q is the orthonormal factor of a free D x M matrix, with the sign that makes the other
    factor's diagonal positive: a smooth function of the matrix wherever its rank is M.
    """

    def __init__(
        self, dim: int, bottleneck: int, activation: str = "tanh", eps: float = 1e-3
    ) -> None:
        super().__init__(dim, bottleneck, activation, eps)
        M = bottleneck
        spread = STEEPNESS / M**0.5
        self.log_diagonal = nn.Parameter(torch.full((M,), STEEPNESS).log())
        self.raw_p = nn.Parameter(torch.tensor(-self.floor).expm1().log().repeat(M))
        self.R = nn.Parameter(0.1 / STEEPNESS * torch.randn(M, M).triu(1))
        self.R_tilde = nn.Parameter(spread * torch.randn(M, M).triu(1))
        self.start_frame()

    def start_frame(self) -> None:
        """Make the parameters of Q."""
        self.frame = nn.Parameter(torch.randn(self.dim, self.bottleneck))

    def rotate(self, matrix: Tensor) -> Tensor:
        """Return Q times a matrix ``(M, K)``."""
        Q, upper = torch.linalg.qr(self.frame)
        rotated: Tensor = Q @ (torch.sign(upper.diagonal())[:, None] * matrix)
        return rotated

    def factors(self) -> Factors:
        diagonal = self.log_diagonal.exp()
        p = self.floor + softplus(self.raw_p)
        R_tilde = self.R_tilde.triu(1) + torch.diag(diagonal)
        R = self.R.triu(1) + torch.diag(p / diagonal)
        V, W = self.rotate(torch.cat((R, R_tilde.T), 1)).chunk(2, 1)
        # The product's diagonal is p up to round-off, which must not carry it over the border.
        return Factors(V, W, (R_tilde @ R).triu(1) + torch.diag(p))

    def solve(self, tau: Tensor, B: Tensor) -> tuple[Tensor, Convergence]:
        return triangular_root(tau, B, self.activation)

    def log_det(self, slope: Tensor, B: Tensor) -> Tensor:
        return torch.log1p(slope * B.diagonal()).sum(1)


class HouseholderSylvester(OrthogonalSylvester):
    r"""As `OrthogonalSylvester`, with Q from a product of Householder reflections.

    :math:`Q = H_1 \cdots H_K I_{D \times M}` with :math:`H_k = I - 2 v_k v_k^T / \|v_k\|^2`:
    orthonormal to round-off whatever the vectors are, but with few of them not every rotation.
    """

    def start_frame(self) -> None:
        self.vectors = nn.Parameter(torch.randn(min(REFLECTIONS, self.dim), self.dim))

    def rotate(self, matrix: Tensor) -> Tensor:
        rotated = nn.functional.pad(matrix, (0, 0, 0, self.dim - self.bottleneck))
        for v in normalize(self.vectors, dim=1).flip(0):
            rotated = rotated - torch.outer(2 * v, v @ rotated)
        return rotated


class TriangularSylvester(OrthogonalSylvester):
    """As `OrthogonalSylvester` with M = D and, for Q, the identity or the reversal of coordinates.

    Args:
        dim: number of coordinates D.
        activation: a key of `ACTIVATIONS`.
        eps: how far the layer keeps from the border of invertibility.
        reverse: whether Q reverses coordinates; layers in a row alternate.
    """

    def __init__(
        self, dim: int, activation: str = "tanh", eps: float = 1e-3, *, reverse: bool = False
    ) -> None:
        super().__init__(dim, dim, activation, eps)
        self.reverse = reverse

    def start_frame(self) -> None:
        pass

    def rotate(self, matrix: Tensor) -> Tensor:
        return matrix.flip(0) if self.reverse else matrix


class GeneralSylvester(Sylvester):
    r"""V and W free but for one shift, the planar layer's constraint in M dimensions.

    The map is a bijection where the smallest eigenvalue :math:`\lambda` of :math:`(B + B^T)/2` is
    above -1/S: then :math:`S_{\alpha}^{-1} + B` has a positive definite symmetric part for all
    slopes in (0, S], so the Jacobian's determinant is positive everywhere. A softplus of the
    violation, :math:`\delta = \mathrm{softplus}(-1/S + \epsilon - \lambda)`, makes it so:

    .. math:: \hat V = V + \delta\, W (W^T W)^{-1}, \qquad W^T \hat V = B + \delta I

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
        least = torch.linalg.eigvalsh((B + B.T) / 2)[0]
        delta = softplus(self.floor - least)
        Q, upper = torch.linalg.qr(self.W)
        dual = torch.linalg.solve_triangular(upper.T, Q, upper=False, left=False)
        eye = torch.eye(self.bottleneck, dtype=B.dtype, device=B.device)
        return Factors(self.V + delta * dual, self.W, B + delta * eye)

    def solve(self, tau: Tensor, B: Tensor) -> tuple[Tensor, Convergence]:
        return vector_root(tau, B, self.activation)

    def log_det(self, slope: Tensor, B: Tensor) -> Tensor:
        return log_det_residual(slope[:, :, None] * B)
