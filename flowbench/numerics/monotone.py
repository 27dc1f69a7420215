r"""The monotone equations behind planar and Sylvester flows, solved without safeguards.

Both flows add a bounded activation of a few projections to their input, and to invert them is to
solve :math:`\alpha + p\,\sigma(\alpha) = \tau`, one number at a time, or :math:`\alpha +
B\,\sigma(\alpha) = \tau` in M dimensions. No gradients here: `implicit` attaches them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from flowbench.numerics.convergence import Convergence

ROUNDING = 8.0
"""Round-off of a residual, in units of eps times the size of its terms."""


@dataclass(frozen=True)
class Activation:
    """An odd, increasing, bounded function, concave on the positive half-line.

    Attributes:
        name: how configurations call it.
        value: the function, elementwise.
        slope: its derivative, elementwise, in differentiable operations.
        supremum: the least upper bound of its size.
        max_slope: its largest slope S, at zero.
    """

    name: str
    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    supremum: float
    max_slope: float


ACTIVATIONS = {
    activation.name: activation
    for activation in (
        # 1 - tanh^2, without its cancellation in the tails.
        Activation(
            "tanh", torch.tanh, lambda a: 4 * torch.sigmoid(2 * a) * torch.sigmoid(-2 * a), 1.0, 1.0
        ),
        Activation("atan", torch.atan, lambda a: 1 / (1 + a.square()), pi / 2, 1.0),
        Activation(
            "softsign", lambda a: a / (1 + a.abs()), lambda a: (1 + a.abs()) ** -2, 1.0, 1.0
        ),
    )
}


@torch.no_grad()
def solve_scalar(
    tau: Tensor, p: Tensor, activation: Activation, *, max_iterations: int = 100
) -> tuple[Tensor, Convergence]:
    r"""Solve :math:`\alpha + p\,\sigma(\alpha) = \tau` elementwise.

    The equation is odd, so it is solved for :math:`\tau \ge 0`, where the left side F is concave
    for :math:`p \ge 0` and convex for :math:`p < 0`. Newton's method from a point left of the
    root of a concave F, or right of that of a convex one, goes to it monotonically:

    * :math:`p \ge 0`: from :math:`\max(0, \tau - p \sup\sigma)`, where :math:`F \le \tau`;
    * :math:`p < 0`: from :math:`\min(\tau - p \sup\sigma,\ \tau / (1 + pS))`, where
      :math:`F \ge \tau`, the second because :math:`\sigma(\alpha) \le S \alpha`.

    Each sample stops by itself, once its residual is round-off or a step goes back (in exact
    arithmetic none does).

    Args:
        tau: ``(N,)``.
        p: a number or ``(N,)``, above -1/S.
        activation: :math:`\sigma`.
        max_iterations: steps before a sample is given up; one whose ``tau`` is not finite is at
            once.

    Returns:
        The root ``(N,)``, and how the solve ended; `error` bounds the root's error by residual
        over smallest slope, :math:`1 + \min(p, 0) S`, up to the round-off of the residual.
    """
    target, p = tau.abs(), p.expand(tau.shape)
    floor = 1 + p.clamp(max=0) * activation.max_slope
    far = target - p * activation.supremum
    alpha = torch.where(p < 0, torch.minimum(far, target / floor), far.clamp(min=0))
    ahead = torch.where(p < 0, -1.0, 1.0)
    eps = ROUNDING * torch.finfo(tau.dtype).eps

    iterations = torch.zeros(tau.shape, dtype=torch.int64, device=tau.device)
    hopeless = ~target.isfinite()
    for count in range(max_iterations + 1):
        bend = p * activation.value(alpha)
        residual = target - alpha - bend
        step = residual / (1 + p * activation.slope(alpha))
        # Where the step vanishes against alpha, a residual of round-off was asked for already.
        converged = residual.abs() <= eps * (target + alpha + bend.abs())
        converged |= step * ahead < 0
        if count == max_iterations or bool((converged | hopeless).all()):
            break
        alpha = torch.where(converged, alpha, alpha + step)
        iterations += ~(converged | hopeless)
    return alpha * torch.sign(tau), Convergence(
        iterations, converged & ~hopeless, residual.abs() / floor
    )


@torch.no_grad()
def solve_triangular(
    tau: Tensor, B: Tensor, activation: Activation, *, max_iterations: int = 100
) -> tuple[Tensor, Convergence]:
    r"""Solve :math:`\alpha + B\,\sigma(\alpha) = \tau` for an upper-triangular B.

    By back-substitution: from the last row up, each row is a scalar equation in its own unknown,
    :math:`\alpha_i + B_{ii}\,\sigma(\alpha_i) = \tau_i - \sum_{j>i} B_{ij}\,\sigma(\alpha_j)`.

    Args:
        tau: ``(N, M)``.
        B: ``(M, M)``, the same for all samples, its diagonal above -1/S.
        activation: :math:`\sigma`.
        max_iterations: steps of a row before a sample is given up.

    Returns:
        The roots ``(N, M)``, and how the solve ended: iterations of all rows together, whether
        every row converged, and the largest of the rows' own errors.
    """
    # Rows in front, so that each is contiguous.
    rows = tau.T
    alpha, bent = torch.empty_like(rows), torch.zeros_like(rows)
    reports = []
    for i in range(len(B) - 1, -1, -1):
        rest = rows[i] - B[i, i + 1 :] @ bent[i + 1 :]
        alpha[i], report = solve_scalar(rest, B[i, i], activation, max_iterations=max_iterations)
        bent[i] = activation.value(alpha[i])
        reports.append(report)
    return alpha.T, Convergence(
        torch.stack([report.iterations for report in reports]).sum(0),
        torch.stack([report.converged for report in reports]).all(0),
        torch.stack([report.error for report in reports]).amax(0),
    )


@torch.no_grad()
def solve_vector(
    tau: Tensor, B: Tensor, activation: Activation, *, max_iterations: int = 100
) -> tuple[Tensor, Convergence]:
    r"""Solve :math:`\alpha + B\,\sigma(\alpha) = \tau` in M dimensions by damped Newton.

    There is one root, and the Jacobian :math:`I + B\,\mathrm{diag}(\sigma')` is regular
    everywhere, when the smallest eigenvalue of :math:`(B + B^T)/2` is above -1/S. A step is
    halved for as long as it does not lower the residual's norm; the norm's level sets are bounded
    because :math:`\sigma` is, so the method converges from anywhere.

    Args:
        tau: ``(N, M)``.
        B: ``(M, M)``, the same for all samples.
        activation: :math:`\sigma`.
        max_iterations: steps before a sample is given up.

    Returns:
        The roots ``(N, M)``, and how the solve ended; `error` is the largest coordinate of the
        residual.
    """
    eye = torch.eye(len(B), dtype=B.dtype, device=B.device)
    eps = ROUNDING * torch.finfo(tau.dtype).eps

    def residual_at(alpha: Tensor) -> Tensor:
        return tau - alpha - activation.value(alpha) @ B.T

    alpha = tau.clone()
    residual = residual_at(alpha)
    iterations = torch.zeros(len(tau), dtype=torch.int64, device=tau.device)
    stopped = ~tau.isfinite().all(1)
    for count in range(max_iterations + 1):
        size = tau.abs() + alpha.abs() + activation.value(alpha).abs() @ B.abs().T
        converged = residual.abs().amax(1) <= eps * size.amax(1)
        stopped |= converged
        if count == max_iterations or bool(stopped.all()):
            break
        step = torch.linalg.solve(eye + B * activation.slope(alpha)[:, None, :], residual)
        moved, closer = _line_search(residual_at, alpha, step, residual, stopped)
        iterations += ~stopped
        # No step helps: round-off rules, and the residual says how far it let us come.
        stopped |= ~closer
        alpha, residual = moved, residual_at(moved)
    return alpha, Convergence(iterations, converged, residual.abs().amax(1))


def _line_search(
    residual_at: Callable[[Tensor], Tensor],
    alpha: Tensor,
    step: Tensor,
    residual: Tensor,
    stopped: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return each sample's furthest point that lowers the residual, and whether there is one."""
    norm = residual.norm(dim=1)
    moved, closer, scale = alpha, stopped.clone(), 1.0
    for _ in range(30):
        trial = alpha + scale * step
        # Armijo's condition: a Newton step of length t promises a fall by the factor 1 - t.
        lower = ~closer & (residual_at(trial).norm(dim=1) <= (1 - 1e-4 * scale) * norm)
        moved = torch.where(lower[:, None], trial, moved)
        closer = closer | lower
        if bool(closer.all()):
            break
        scale /= 2
    return moved, closer
