"""The fixed-point solver against closed forms: linear contractions and their exact solutions."""

import pytest
import torch

from flowbench.numerics.fixed_point import UNWATCHED, solve_residual, with_implicit_gradient


def rotation_and_more(dim: int, lipschitz: float, seed: int = 0) -> torch.Tensor:
    """Return a matrix of norm `lipschitz` that is neither symmetric nor normal."""
    torch.manual_seed(seed)
    matrix = torch.randn(dim, dim, dtype=torch.float64)
    return lipschitz * matrix / torch.linalg.matrix_norm(matrix, ord=2)


@pytest.mark.parametrize("memory", [0, 1, 5])
@pytest.mark.parametrize(("dim", "lipschitz"), [(1, 0.9), (2, 0.99), (7, 0.5), (40, 0.98)])
def test_error_of_a_linear_solve_is_within_its_certificate(dim, lipschitz, memory):
    matrix = rotation_and_more(dim, lipschitz)
    x = torch.randn(50, dim, dtype=torch.float64) * torch.logspace(-3, 3, 50).double()[:, None]
    y = x + x @ matrix.T
    found, report = solve_residual(
        lambda t: t @ matrix.T, y, lipschitz, tolerance=1e-6, memory=memory, max_iterations=5000
    )
    assert report.unconverged == 0
    true_error = (found - x).norm(dim=1)
    assert (true_error <= report.error * (1 + 1e-9)).all()
    assert (report.error <= 1e-6 * found.norm(dim=1)).all()


@pytest.mark.parametrize("memory", [0, 5])
def test_worst_contraction_converges(memory):
    # g = -L x: each plain step gains only the factor L.
    lipschitz = 0.98
    y = torch.randn(20, 3, dtype=torch.float64)
    x, report = solve_residual(lambda t: -lipschitz * t, y, lipschitz, memory=memory)
    if memory:
        assert report.iterations.max() < UNWATCHED + 4
        torch.testing.assert_close(x, y / (1 - lipschitz), rtol=1e-11, atol=0)
    else:
        assert report.unconverged == len(y)


def test_acceleration_takes_fewer_evaluations_than_plain_iteration():
    matrix = rotation_and_more(30, 0.95)
    matrix = 0.95 * (matrix + matrix.T) / torch.linalg.matrix_norm(matrix + matrix.T, ord=2)
    y = torch.randn(20, 30, dtype=torch.float64)
    evaluations = [
        solve_residual(lambda t: t @ matrix, y, 0.95, memory=memory)[1].iterations.max()
        for memory in (0, 5)
    ]
    assert evaluations[1] < 0.5 * evaluations[0]


def test_nonlinear_acceleration_that_overshoots_recovers():
    # Steep in a narrow band, flat elsewhere: secants across the band mislead.
    def g(t: torch.Tensor) -> torch.Tensor:
        return 0.099 * torch.tanh(10 * t)

    x = torch.linspace(-2, 2, 400, dtype=torch.float64)[:, None]
    for tolerance in (0.0, 1e-6):
        found, report = solve_residual(lambda t: -g(t), x - g(x), 0.99, tolerance=tolerance)
        assert report.unconverged == 0
        error = (found - x).abs()[:, 0]
        assert (error <= report.error).all()
        assert (error <= torch.clamp(tolerance * found.abs()[:, 0], min=1e-12)).all()


def test_sample_whose_plain_step_gains_nothing_stops_at_round_off():
    # Near 0 the slope is -0.99: a plain step gains 1 % of the residual, less than x's spacing.
    x = torch.tensor([[0.005]], dtype=torch.float64)
    y = x - 0.099 * torch.tanh(10 * x)
    found, report = solve_residual(lambda t: -0.099 * torch.tanh(10 * t), y, 0.99)
    assert report.unconverged == 0
    assert report.iterations.max() < 40
    assert abs(found - x).item() <= report.error.item() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_default_tolerance_is_the_round_off_of_the_dtype(dtype):
    matrix = rotation_and_more(10, 0.9).to(dtype)
    x = torch.randn(100, 10, dtype=dtype)
    found, report = solve_residual(lambda t: t @ matrix.T, x + x @ matrix.T, 0.9)
    eps = torch.finfo(dtype).eps
    assert report.unconverged == 0
    assert ((found - x).norm(dim=1) < 8 * eps * 2 * x.norm(dim=1) / 0.1).all()


def test_samples_stop_one_by_one_and_stay():
    scale = torch.tensor([0.01, 0.5, 0.99], dtype=torch.float64)[:, None]
    y = torch.ones(3, 4, dtype=torch.float64)
    x, report = solve_residual(lambda t: scale * t, y, 0.99, memory=0, max_iterations=5000)
    assert report.iterations.tolist() == sorted(report.iterations.tolist())
    assert report.iterations[0] < 15 < report.iterations[1] < 120 < report.iterations[2]
    alone, _ = solve_residual(lambda t: scale[1:2] * t, y[1:2], 0.99, memory=0, max_iterations=5000)
    torch.testing.assert_close(x[1:2], alone, rtol=0, atol=0)


def test_what_does_not_converge_is_counted_and_its_best_iterate_returned():
    matrix = rotation_and_more(5, 0.99)
    x = torch.randn(8, 5, dtype=torch.float64)
    x[3] = 0.0
    found, report = solve_residual(
        lambda t: t @ matrix.T, x + x @ matrix.T, 0.99, max_iterations=2, memory=0
    )
    assert report.unconverged == 7
    assert report.converged.tolist() == [i == 3 for i in range(8)]
    assert ((found - x).norm(dim=1) <= report.error).all()


def test_a_sample_that_is_not_finite_does_not_hold_up_the_others():
    calls = []

    def g(t: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return 0.5 * t

    y = torch.tensor([[1.0], [float("nan")], [float("inf")]])
    x, report = solve_residual(g, y, 0.5)
    assert len(calls) < 60
    assert report.converged.tolist() == [True, False, False]
    assert x[0, 0] == pytest.approx(2 / 3)


def test_implicit_gradient_matches_the_inverse_matrix():
    matrix = rotation_and_more(4, 0.9).requires_grad_()
    y = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 4, dtype=torch.float64)

    def through_solver(y: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        def g(t: torch.Tensor) -> torch.Tensor:
            return t @ matrix.T

        x, _ = solve_residual(g, y, 0.9)
        return (weight * with_implicit_gradient(g, x, y, 0.9, 500)).sum()

    def closed_form(y: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        return (weight * torch.linalg.solve(torch.eye(4).double() + matrix, y.T).T).sum()

    found = torch.autograd.grad(through_solver(y, matrix), (y, matrix))
    exact = torch.autograd.grad(closed_form(y, matrix), (y, matrix))
    for left, right in zip(found, exact, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)
