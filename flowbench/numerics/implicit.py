r"""Roots with their derivatives, by the implicit function theorem.

Where :math:`F(\alpha, \theta) = 0` defines :math:`\alpha`, its derivatives are :math:`\partial
\alpha = -F_\alpha^{-1} F_\theta\, \partial\theta` whatever method found the root: nothing of the
iterations is kept. The backward passes below are made of differentiable operations on the root
itself, which carries its own derivative, so derivatives of any order are right.
"""

from typing import Any

import torch
from torch import Tensor

from flowbench.numerics.convergence import Convergence
from flowbench.numerics.monotone import (
    Activation,
    solve_scalar,
    solve_triangular,
    solve_vector,
)


def scalar_root(tau: Tensor, p: Tensor, activation: Activation) -> tuple[Tensor, Convergence]:
    r"""Solve :math:`\alpha + p\,\sigma(\alpha) = \tau` as `solve_scalar` does, differentiably.

    Args:
        tau: ``(N,)``.
        p: a single number (no dimensions).
        activation: :math:`\sigma`.
    """
    root: Tensor
    root, convergence = _ScalarRoot.apply(tau, p, activation)  # type: ignore[no-untyped-call]
    return root, convergence


def triangular_root(tau: Tensor, B: Tensor, activation: Activation) -> tuple[Tensor, Convergence]:
    r"""Solve :math:`\alpha + B\,\sigma(\alpha) = \tau` as `solve_triangular` does, differentiably.

    Args:
        tau: ``(N, M)``.
        B: ``(M, M)``, upper-triangular: below its diagonal it is neither read nor given a gradient.
        activation: :math:`\sigma`.
    """
    root: Tensor
    root, convergence = _TriangularRoot.apply(tau, B, activation)  # type: ignore[no-untyped-call]
    return root, convergence


def vector_root(tau: Tensor, B: Tensor, activation: Activation) -> tuple[Tensor, Convergence]:
    r"""Solve :math:`\alpha + B\,\sigma(\alpha) = \tau` as `solve_vector` does, differentiably.

    Args:
        tau: ``(N, M)``.
        B: ``(M, M)``.
        activation: :math:`\sigma`.
    """
    root: Tensor
    root, convergence = _VectorRoot.apply(tau, B, activation)  # type: ignore[no-untyped-call]
    return root, convergence


class _ScalarRoot(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, tau: Tensor, p: Tensor, activation: Activation
    ) -> tuple[Tensor, Convergence]:
        root, convergence = solve_scalar(tau, p, activation)
        ctx.save_for_backward(root, p)
        ctx.activation = activation
        return root, convergence

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        root, p = ctx.saved_tensors
        by_tau = gradients[0] / (1 + p * ctx.activation.slope(root))
        return by_tau, -(ctx.activation.value(root) * by_tau).sum(), None


class _TriangularRoot(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, tau: Tensor, B: Tensor, activation: Activation
    ) -> tuple[Tensor, Convergence]:
        root, convergence = solve_triangular(tau, B, activation)
        ctx.save_for_backward(root, B)
        ctx.activation = activation
        return root, convergence

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        root, B = ctx.saved_tensors
        eye = torch.eye(len(B), dtype=B.dtype, device=B.device)
        jacobian = eye + B.triu() * ctx.activation.slope(root)[:, None, :]
        by_tau = torch.linalg.solve_triangular(
            jacobian.mT, gradients[0][:, :, None], upper=False
        ).squeeze(2)
        return by_tau, -(by_tau.mT @ ctx.activation.value(root)).triu(), None


class _VectorRoot(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, tau: Tensor, B: Tensor, activation: Activation
    ) -> tuple[Tensor, Convergence]:
        root, convergence = solve_vector(tau, B, activation)
        ctx.save_for_backward(root, B)
        ctx.activation = activation
        return root, convergence

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        root, B = ctx.saved_tensors
        eye = torch.eye(len(B), dtype=B.dtype, device=B.device)
        jacobian = eye + B * ctx.activation.slope(root)[:, None, :]
        by_tau = torch.linalg.solve(jacobian.mT, gradients[0])
        return by_tau, -by_tau.mT @ ctx.activation.value(root), None
