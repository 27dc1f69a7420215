"""Products of Householder reflections."""

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad


def reflected(vectors: Tensor, matrix: Tensor) -> Tensor:
    r"""Apply the first M columns of :math:`H_1 \cdots H_K` to a matrix ``(M, C)``.

    :math:`H_k = I - 2 v_k v_k^T / \|v_k\|^2`. With the unit vectors in the columns of Y, the
    product is :math:`I - Y T Y^T` with :math:`T^{-1} = I/2 + \mathrm{triu}(Y^T Y, 1)` (Joffrain et
    al. 2006, "Accumulating Householder transformations, revisited", theorem 2): four products
    instead of K updates one after the other.

    Args:
        vectors: :math:`v_k` in its rows, ``(K, D)``; for a vector of zeros H is the identity.
        matrix: ``(M, C)`` with M at most D.

    Returns:
        ``(D, C)``: the columns' lengths and angles are those of `matrix`, up to round-off.
    """
    units = normalize(vectors, dim=1)
    dim, rows = vectors.shape[1], len(matrix)
    # Twice T^{-1} has ones on its diagonal; what lies below it is not read.
    projections = torch.linalg.solve_triangular(
        2 * units @ units.T, 2 * units[:, :rows] @ matrix, upper=True, unitriangular=True
    )
    product: Tensor = pad(matrix, (0, 0, 0, dim - rows)) - units.T @ projections
    return product
