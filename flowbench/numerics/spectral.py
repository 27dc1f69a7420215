"""Operator norms: power iteration from below, certified bounds from above."""

from collections.abc import Callable
from math import inf

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

LinearMap = Callable[[Tensor], Tensor]

EXPANDED_SIDE = 1024
"""A symmetric matrix of so many rows has its eigenvalues in well under a second."""


def power_iteration(
    forward: LinearMap,
    adjoint: LinearMap,
    u: Tensor,
    v: Tensor,
    *,
    tolerance: float = 1e-4,
    max_iterations: int = 1000,
) -> tuple[Tensor, Tensor, int]:
    r"""Improve a linear map's leading singular pairs from a warm start, all of them at once.

    The block method (Halko, Martinsson and Tropp 2011, "Finding structure with randomness",
    algorithm 4.4) with the Rayleigh-Ritz step: the estimate
    :math:`\langle u_1, A v_1\rangle` grows towards the norm of A and never passes it, so it bounds
    the norm from below only. It stops when an iteration raises the estimate by no more than
    `tolerance`, relatively: how soon depends on the gap between the first singular value and
    those that are not followed, and on how good the start is. A start that was good enough
    already gives one iteration. Where A changes from call to call, pairs that come to lead were
    followed before they did: a single pair would stay with the one that it had found.

    Args:
        forward: :math:`v \mapsto A v`, of each row.
        adjoint: :math:`u \mapsto A^T u`, of each row.
        u: the start, ``(k, ...)`` for k pairs, each row a unit vector that `adjoint` takes.
        v: the start on the other side, ``(k, ...)``.
        tolerance: largest relative growth of the estimate in the last iteration.
        max_iterations: where to give up.

    Returns:
        The unit vectors u and v, the leading pair first, and the number of iterations.
    """
    previous = float((u[:1] * forward(v[:1])).sum())
    for iteration in range(1, max_iterations + 1):
        basis = torch.linalg.qr(adjoint(u).flatten(1).T).Q.T
        image = forward(basis.reshape(v.shape)).flatten(1)
        gram = image @ image.T
        # The zero map, or a start that it annihilates: any pairs will do. A NaN: none will.
        if not 0.0 < float(gram.diagonal().sum()) < inf:
            return u, v, iteration
        turn = torch.linalg.eigh(gram).eigenvectors.flip(1).T  # the leading pair first
        image = turn @ image
        norms = image.norm(dim=1, keepdim=True)
        norm = float(norms[0])
        v = (turn @ basis).reshape(v.shape)
        u = (image / norms.clamp(min=torch.finfo(image.dtype).tiny)).reshape(u.shape)
        if norm - previous <= tolerance * norm:
            break
        previous = norm
    return u, v, iteration


def convolution(weight: Tensor, padding: tuple[int, int]) -> tuple[LinearMap, LinearMap]:
    """Return a zero-padded convolution of stride 1 and its adjoint, at images of any size.

    The norm of this operator is not that of the kernel reshaped to a matrix (for a 3 x 3 kernel
    it may be 1.5 times as large), and depends on the size of the image and on the padding.

    Args:
        weight: ``(out, in, kh, kw)``.
        padding: zeros added on each side of the two axes.
    """
    return (
        lambda v: conv2d(v, weight, padding=padding),
        lambda u: conv_transpose2d(u, weight, padding=padding),
    )


def matrix_norm_bound(weight: Tensor) -> float:
    """Return the largest singular value of a matrix ``(out, in)``, in float64; inf where NaN."""
    if not weight.isfinite().all():
        return inf
    return float(torch.linalg.matrix_norm(weight.detach().double(), ord=2))


def convolution_norm_bound(weight: Tensor, size: tuple[int, int]) -> float:
    r"""Bound the norm of a zero-padded convolution that keeps the image's size, from above.

    Up to `EXPANDED_SIDE` numbers on its smaller side the operator is expanded, and the bound is
    the norm. Beyond, on an image of n pixels an axis, a zero-padded convolution is a circular one
    on n + k - 1 pixels, restricted to images that vanish outside and to a part of its output.
    Neither restriction can raise the norm, and the circular operator's norm is the largest
    singular value of the kernel's Fourier transform over all frequencies (Sedghi et al. 2019,
    "The singular values of convolutional layers", theorem 6). Loose by 2 to 15 % for 3 x 3
    kernels, by much more on images of few pixels; exact for 1 x 1 kernels.

    Args:
        weight: ``(out, in, kh, kw)``, kh and kw odd.
        size: height and width of the image.
    """
    if not weight.isfinite().all():
        return inf
    weight = weight.detach().double()
    height, width = weight.shape[2:]
    if (height, width) == (1, 1):
        return matrix_norm_bound(weight[:, :, 0, 0])
    if min(weight.shape[:2]) * size[0] * size[1] <= EXPANDED_SIDE:
        return _expanded_norm(weight, size)
    grid = [n + k - 1 for n, k in zip(size, (height, width), strict=True)]
    # The transform of a real kernel at -w is the conjugate of that at w: half of them suffice.
    spectrum = torch.fft.rfft2(weight, s=grid).permute(2, 3, 0, 1)
    return float(torch.linalg.matrix_norm(spectrum, ord=2).max())


def _expanded_norm(weight: Tensor, size: tuple[int, int]) -> float:
    """Return the convolution's norm, from the Gram matrix of its smaller side."""
    forward, adjoint = convolution(weight, (weight.shape[2] // 2, weight.shape[3] // 2))
    if weight.shape[0] < weight.shape[1]:
        forward, adjoint = adjoint, forward
    side = min(weight.shape[:2]) * size[0] * size[1]
    basis = torch.eye(side, dtype=weight.dtype, device=weight.device)
    gram = adjoint(forward(basis.reshape(side, -1, *size))).reshape(side, side)
    return float(torch.linalg.eigvalsh((gram + gram.T) / 2)[-1].clamp(min=0).sqrt())
