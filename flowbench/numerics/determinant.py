"""The log-determinant of a residual map, from its whole Jacobian."""

from collections.abc import Callable

import torch
from torch import Tensor


def basis_tangents(event: Tensor) -> Tensor:
    """Return the unit vectors of an event's space as tangents ``(D, 1, *event)``."""
    dim = event.numel()
    basis = torch.eye(dim, dtype=event.dtype, device=event.device)
    return basis.reshape(dim, 1, *event.shape)


def jacobian(product: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Expand a Jacobian from its product with every unit vector at once.

    Args:
        product: takes tangents ``(D, 1, *event)``, shared by all samples, to ``(D, N, *event)``.
        x: where it was taken, ``(N, *event)``.

    Returns:
        ``(N, D, D)``, differentiable where `product` is.
    """
    columns = product(basis_tangents(x[0])).flatten(2)
    return columns.permute(1, 2, 0).expand(len(x), -1, -1)


def log_det_residual(jacobian_of_branch: Tensor) -> Tensor:
    r"""Return :math:`\log\det(I + J)` of contractive Jacobians ``(N, D, D)``: always positive.

    In one and two dimensions by the closed form, which is several times as fast as a
    factorisation of many small matrices.
    """
    dim = jacobian_of_branch.shape[-1]
    trace = jacobian_of_branch.diagonal(dim1=1, dim2=2).sum(1)
    if dim == 1:
        return torch.log1p(trace)
    if dim == 2:
        (a, b), (c, d) = (row.unbind(1) for row in jacobian_of_branch.unbind(1))
        return torch.log1p(trace + (a * d - b * c))
    identity = torch.eye(dim, dtype=trace.dtype, device=trace.device)
    log_det: Tensor = torch.linalg.slogdet(identity + jacobian_of_branch).logabsdet
    return log_det
