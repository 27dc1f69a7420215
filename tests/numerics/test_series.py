"""Series estimates of a log-determinant against linear maps whose spectrum is known."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from flowbench.numerics.determinant import basis_tangents, jacobian, log_det_residual
from flowbench.numerics.keyed_noise import rademacher, scalar_uniform, uniform
from flowbench.numerics.series import (
    log_det_from_powers,
    log_det_series,
    roulette_by_sample,
    roulette_coefficients,
    truncated_coefficients,
    truncation_bias,
)


def with_eigenvalues(values: list[float]) -> Tensor:
    """Return a matrix of these eigenvalues in a skewed basis, so that it is not normal."""
    torch.manual_seed(1)
    n = len(values)
    basis = torch.eye(n, dtype=torch.float64) + 0.2 * torch.randn(n, n, dtype=torch.float64)
    return basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ torch.linalg.inv(basis)


@pytest.mark.parametrize("dim", [1, 2, 3, 6])
def test_exact_log_det_matches_slogdet_of_the_whole_matrix(dim):
    torch.manual_seed(dim)
    matrices = torch.randn(20, dim, dim, dtype=torch.float64)
    matrices = 0.97 * matrices / torch.linalg.matrix_norm(matrices, ord=2)[:, None, None]
    expected = torch.linalg.slogdet(torch.eye(dim, dtype=torch.float64) + matrices)[1]
    torch.testing.assert_close(log_det_residual(matrices), expected, rtol=1e-12, atol=1e-12)


def test_jacobian_has_outputs_in_rows_and_inputs_in_columns():
    matrix = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    shared = jacobian(lambda t: t @ matrix.T, torch.zeros(5, 2))
    assert shared.shape == (5, 2, 2)
    torch.testing.assert_close(shared[4], matrix)


@pytest.mark.parametrize("terms", [1, 3, 8, 20])
@pytest.mark.parametrize("lipschitz", [0.5, 0.9, 0.98])
def test_truncation_stays_within_its_bias_bound(terms, lipschitz):
    torch.manual_seed(terms)
    matrices = torch.randn(30, 5, 5, dtype=torch.float64)
    # The last one is the worst case: every eigenvalue at -L.
    matrices[-1] = -torch.eye(5)
    matrices = lipschitz * matrices / torch.linalg.matrix_norm(matrices, ord=2)[:, None, None]
    series = log_det_from_powers(matrices, truncated_coefficients(terms))
    bias = (series - log_det_residual(matrices)).abs()
    bound = truncation_bias(5, lipschitz, terms)
    assert (bias <= bound).all()
    assert bias[-1] > 0.2 * (1 - lipschitz) * bound


def test_bias_bound_closed_form():
    assert truncation_bias(4, 0.5, 3) == pytest.approx(4 * 0.5**4 / (4 * 0.5))


def test_a_full_basis_of_probes_gives_the_series_exactly():
    matrix = with_eigenvalues([0.9, -0.8, 0.5])
    probes = basis_tangents(torch.zeros(3, dtype=torch.float64))
    estimates = log_det_series(
        lambda t: t @ matrix.T, probes, truncated_coefficients(6), differentiable=False
    )
    powers = sum(
        (-1) ** (k + 1) / k * torch.linalg.matrix_power(matrix, k).trace() for k in range(1, 7)
    )
    assert float(estimates.sum()) == pytest.approx(float(powers), abs=1e-12)


def test_roulette_weights_are_the_inverse_chances_of_their_terms():
    draws = 40_000
    uniforms = uniform(7, 0, torch.arange(draws), 1, dtype=torch.float64)[:, 0].tolist()
    for term in (1, 2, 3, 4, 5):
        # A weight counts as zero where the term was not reached: its mean must be one.
        weights = torch.tensor(
            [dict(enumerate(roulette_coefficients(u, 2), start=1)).get(term, 0.0) for u in uniforms]
        )
        error = float(weights.std()) / math.sqrt(draws)
        assert abs(float(weights.mean()) - 1.0) <= 4 * error
    assert len(roulette_coefficients(0.0, 2)) < 100


def test_samples_that_cut_for_themselves_do_as_each_would_alone():
    uniforms = torch.tensor([[0.9, 0.3, 0.0], [0.2, 0.06, 0.51]], dtype=torch.float64)
    together = roulette_by_sample(uniforms, 2)
    matrix = with_eigenvalues([-0.6, -0.5, 0.2])
    probes = rademacher(3, 0, torch.arange(3), 6, dtype=torch.float64)
    probes = probes.reshape(3, 2, 3).transpose(0, 1)

    def series(probes, coefficients):
        return log_det_series(lambda t: t @ matrix.T, probes, coefficients, differentiable=False)

    found = series(probes, together)
    for p, n in itertools.product(range(2), range(3)):
        weights = roulette_coefficients(float(uniforms[p, n]), 2)
        alone = series(probes[p : p + 1, n : n + 1], weights)
        torch.testing.assert_close(found[p, n], alone[0, 0], rtol=1e-13, atol=1e-13)
        padded = [float(w if isinstance(w, float) else w[p, n]) for w in together]
        assert padded == [*weights, *[0.0] * (len(together) - len(weights))]


def test_roulette_with_probes_is_unbiased():
    eigenvalues = [-0.6, -0.5, 0.2]
    matrix = with_eigenvalues(eigenvalues)
    exact = sum(math.log1p(value) for value in eigenvalues)
    rows = torch.arange(20)
    means = []
    for step in range(4000):
        probes = rademacher(3, step, rows, 3, dtype=torch.float64)[None]
        coefficients = roulette_coefficients(scalar_uniform(3, step, 1), 2)
        estimate = log_det_series(
            lambda t: t @ matrix.T, probes, coefficients, differentiable=False
        )
        means.append(estimate.mean())
    draws = torch.stack(means)
    assert abs(float(draws.mean()) - exact) < 4 * float(draws.std()) / math.sqrt(len(draws))
    # Two exact terms alone are far off: the test can tell.
    two = sum(value - value**2 / 2 for value in eigenvalues)
    assert abs(two - exact) > 10 * float(draws.std()) / math.sqrt(len(draws))


def test_surrogate_gradient_is_that_of_the_exact_log_det_and_value_that_of_the_series():
    matrix = with_eigenvalues([0.4, -0.5, 0.3]).requires_grad_()
    probes = basis_tangents(torch.zeros(3, dtype=torch.float64))
    value = log_det_series(
        lambda t: t @ matrix.T, probes, truncated_coefficients(60), differentiable=True
    ).sum()
    (gradient,) = torch.autograd.grad(value, matrix)
    identity = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(gradient, torch.linalg.inv(identity + matrix).T.detach())
    assert value.item() == pytest.approx(math.log(1.4 * 0.5 * 1.3), abs=1e-12)


def test_surrogate_gradient_of_a_short_series_is_that_of_the_short_series():
    matrix = with_eigenvalues([0.9, -0.8, 0.5]).requires_grad_()
    probes = basis_tangents(torch.zeros(3, dtype=torch.float64))
    coefficients = truncated_coefficients(4)
    value = log_det_series(lambda t: t @ matrix.T, probes, coefficients, differentiable=True).sum()
    (gradient,) = torch.autograd.grad(value, matrix)
    (expected,) = torch.autograd.grad(log_det_from_powers(matrix[None], coefficients), matrix)
    torch.testing.assert_close(gradient, expected)


def test_surrogate_gradient_is_right_under_weights_that_differ_between_samples():
    matrices = torch.stack([with_eigenvalues([0.4, -0.5]), with_eigenvalues([-0.3, 0.6])])
    matrices = matrices.requires_grad_()
    weights = torch.tensor([0.0, 2.5], dtype=torch.float64)

    def product(tangents: Tensor) -> Tensor:
        return torch.einsum("nij,pnj->pni", matrices, tangents)

    probes = basis_tangents(torch.zeros(2, dtype=torch.float64)).expand(2, 2, 2)
    estimates = log_det_series(product, probes, truncated_coefficients(80), differentiable=True)
    (gradient,) = torch.autograd.grad((weights * estimates.sum(0)).sum(), matrices)
    (expected,) = torch.autograd.grad((weights * log_det_residual(matrices)).sum(), matrices)
    torch.testing.assert_close(gradient, expected)
    assert gradient[1].abs().max() > 0.1


def test_terms_below_round_off_are_left_out_of_a_value_and_change_nothing():
    taken = []

    def product(tangents: Tensor) -> Tensor:
        taken.append(tangents)
        return 0.01 * tangents.roll(1, dims=-1) + 0.002 * tangents

    probes = rademacher(3, 0, torch.arange(4), 5, dtype=torch.float64)[None]
    weights = roulette_by_sample(torch.tensor([[0.0, 1e-9, 0.3, 0.9]], dtype=torch.float64), 20)
    value = log_det_series(product, probes, weights, differentiable=False)
    few = len(taken)
    whole = log_det_series(product, probes, weights, differentiable=True)
    assert len(taken) - few == len(weights) + 1 > 60
    assert few < 40
    assert value.dtype == whole.dtype
    torch.testing.assert_close(value, whole, rtol=0, atol=4e-16)
    three = log_det_series(product, probes, weights[:3], differentiable=False)
    assert not torch.allclose(value, three, rtol=0, atol=1e-10)
