"""Operator norms against the singular values of explicit matrices."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from flowbench.numerics import spectral
from flowbench.numerics.spectral import (
    convolution,
    convolution_norm_bound,
    matrix_norm_bound,
    power_iteration,
)

CASES = [
    pytest.param(2, 3, (3, 3), (5, 7), id="odd-sides"),
    pytest.param(3, 2, (3, 3), (4, 6), id="even-sides"),
    pytest.param(1, 4, (5, 3), (6, 3), id="kernel-and-image-not-square"),
    pytest.param(4, 4, (1, 1), (3, 4), id="one-by-one"),
]


def explicit_matrix(weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the convolution as a matrix, from its action on every unit image."""
    channels = weight.shape[1]
    padding = (weight.shape[2] // 2, weight.shape[3] // 2)
    basis = torch.eye(channels * size[0] * size[1], dtype=weight.dtype)
    return conv2d(basis.reshape(-1, channels, *size), weight, padding=padding).flatten(1).t()


def rows_of(matrix: Tensor):
    """Return a matrix as a map of each row."""
    return lambda rows: rows @ matrix.T


def estimate(weight: Tensor, size: tuple[int, int], tolerance: float = 1e-12) -> float:
    padding = (weight.shape[2] // 2, weight.shape[3] // 2)
    forward, adjoint = convolution(weight, padding)
    u = torch.randn(1, weight.shape[0], *size, dtype=weight.dtype)
    v = torch.randn(1, weight.shape[1], *size, dtype=weight.dtype)
    u, v, _ = power_iteration(
        forward, adjoint, u / u.norm(), v / v.norm(), tolerance=tolerance, max_iterations=20_000
    )
    return float((u * forward(v)).sum())


@pytest.mark.parametrize(("inputs", "outputs", "kernel", "size"), CASES)
def test_power_iteration_finds_the_norm_of_the_true_convolution(inputs, outputs, kernel, size):
    torch.manual_seed(0)
    weight = torch.randn(outputs, inputs, *kernel, dtype=torch.float64)
    norm = float(torch.linalg.matrix_norm(explicit_matrix(weight, size), ord=2))
    assert estimate(weight, size) == pytest.approx(norm, rel=1e-6)


@pytest.mark.parametrize(("inputs", "outputs", "kernel", "size"), CASES)
def test_adjoint_is_the_transpose(inputs, outputs, kernel, size):
    torch.manual_seed(0)
    weight = torch.randn(outputs, inputs, *kernel, dtype=torch.float64)
    forward, adjoint = convolution(weight, (kernel[0] // 2, kernel[1] // 2))
    u = torch.randn(1, outputs, *size, dtype=torch.float64)
    v = torch.randn(1, inputs, *size, dtype=torch.float64)
    assert float((u * forward(v)).sum()) == pytest.approx(float((adjoint(u) * v).sum()), rel=1e-12)


@pytest.mark.parametrize(("inputs", "outputs", "kernel", "size"), CASES)
def test_fourier_bound_lies_above_the_norm_and_not_far(monkeypatch, inputs, outputs, kernel, size):
    monkeypatch.setattr(spectral, "EXPANDED_SIDE", 0)
    for seed in range(5):
        torch.manual_seed(seed)
        weight = torch.randn(outputs, inputs, *kernel, dtype=torch.float64)
        norm = float(torch.linalg.matrix_norm(explicit_matrix(weight, size), ord=2))
        bound = convolution_norm_bound(weight, size)
        assert norm * (1 - 1e-12) <= bound <= 1.4 * norm


@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel", "size"),
    [*CASES, pytest.param(6, 2, (3, 3), (1, 1), id="one-pixel")],
)
def test_bound_of_a_small_convolution_is_its_norm(inputs, outputs, kernel, size):
    torch.manual_seed(1)
    weight = torch.randn(outputs, inputs, *kernel)
    norm = float(torch.linalg.matrix_norm(explicit_matrix(weight.double(), size), ord=2))
    assert convolution_norm_bound(weight, size) == pytest.approx(norm, rel=1e-12)


def test_no_bound_is_claimed_for_weights_that_are_not_finite():
    weight = torch.full((2, 2, 3, 3), float("nan"))
    assert matrix_norm_bound(weight[:, :, 0, 0]) == math.inf
    assert convolution_norm_bound(weight, (4, 4)) == math.inf


def test_norm_of_the_reshaped_kernel_is_another_number():
    torch.manual_seed(0)
    weight = torch.randn(8, 8, 3, 3, dtype=torch.float64)
    assert estimate(weight, (16, 16), 1e-8) > 1.3 * matrix_norm_bound(weight.flatten(1))


def test_a_converged_pair_takes_one_iteration_and_a_stale_one_more():
    torch.manual_seed(0)
    matrix = torch.randn(20, 30, dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrix)
    maps = rows_of(matrix), rows_of(matrix.T)
    *_, iterations = power_iteration(*maps, left.T[:3], right[:3])
    assert iterations == 1
    stale = left.T[5:6] + 0.1 * left.T[:1]
    u, v, iterations = power_iteration(*maps, stale / stale.norm(), right[5:6], tolerance=1e-10)
    assert iterations > 1
    assert float(u @ matrix @ v.T) == pytest.approx(float(values[0]), rel=1e-6)


def test_all_pairs_of_a_block_are_singular_pairs_in_order():
    torch.manual_seed(0)
    matrix = torch.randn(20, 30, dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrix)
    u, v = torch.randn(4, 20).double(), torch.randn(4, 30).double()
    for _ in range(500):  # the others need longer than the first, which decides when it ends
        u, v, _ = power_iteration(rows_of(matrix), rows_of(matrix.T), u, v, max_iterations=1)
    found = torch.einsum("ki,ij,kj->k", u, matrix, v)
    torch.testing.assert_close(found, values[:4], rtol=1e-6, atol=0)
    for one, other in ((u, left.T), (v, right)):
        overlap = (one[:3] @ other[:3].T).abs()
        torch.testing.assert_close(overlap, torch.eye(3).double(), atol=1e-3, rtol=0)


def test_a_singular_value_that_overtakes_the_first_is_not_overlooked():
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(16, 16, dtype=torch.float64)).Q for _ in range(2))
    values = torch.linspace(1.0, 0.1, 16, dtype=torch.float64)
    matrix = left @ torch.diag(values) @ right
    # Converged: the pair that will overtake is at right angles to the leading one, exactly.
    u, v = left.T[:4], right[:4]
    for step in range(30):
        values[2] += 0.01  # from 0.88 to 1.18, by steps as a training takes them
        matrix = left @ torch.diag(values) @ right
        u, v, _ = power_iteration(rows_of(matrix), rows_of(matrix.T), u, v, tolerance=1e-3)
        found = float(u[0] @ matrix @ v[0])
        assert found == pytest.approx(float(values.max()), rel=2e-3), step


def test_the_zero_map_has_norm_zero_and_no_nan():
    matrix = torch.zeros(3, 3)
    u, v, _ = power_iteration(rows_of(matrix), rows_of(matrix), torch.eye(3)[:1], torch.eye(3)[1:2])
    assert float(u @ matrix @ v.T) == 0.0
