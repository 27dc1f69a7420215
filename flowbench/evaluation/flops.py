"""How many operations a call takes, counted by torch as it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def flops_of(call: Callable[[], object]) -> int:
    """Return the multiplications and additions of a call's matrix products and convolutions.

    A product of (m, k) and (k, n) counts 2 m k n, a convolution as the products that it is made
    of, and so do their gradients. Elementwise work and factorisations do not count.
    """
    with FlopCounterMode(display=False, custom_mapping=WITH_VECTORS) as counter:
        call()
    return int(counter.get_total_flops())


def _matrix_vector(matrix: Sequence[int], vector: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * matrix[0] * matrix[1]


def _added_matrix_vector(_: Any, matrix: Sequence[int], *__: Any, **___: Any) -> int:
    return 2 * matrix[0] * matrix[1]


def _dot(vector: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * vector[0]


WITH_VECTORS = {
    torch.ops.aten.mv: _matrix_vector,
    torch.ops.aten.addmv: _added_matrix_vector,
    torch.ops.aten.dot: _dot,
}
"""Products with vectors, by the shapes of their arguments: torch's own counter leaves them out."""
