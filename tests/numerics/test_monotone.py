"""The monotone solvers against known roots, and against another library's."""

import pytest
import torch
from scipy.optimize import brentq, root

from flowbench.numerics.monotone import (
    ACTIVATIONS,
    solve_scalar,
    solve_triangular,
    solve_vector,
)

activations = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])


def within_reach(activation, smallest: float, size: int, seed: int) -> torch.Tensor:
    """Return random B whose symmetric part has its smallest eigenvalue at -1/S + `smallest`."""
    generator = torch.Generator().manual_seed(seed)
    B = 3 * torch.randn(size, size, dtype=torch.float64, generator=generator)
    least = torch.linalg.eigvalsh((B + B.T) / 2)[0]
    return B + (smallest - 1 / activation.max_slope - least) * torch.eye(size).double()


@activations
def test_slope_is_the_derivative_and_sup_and_max_slope_are_sharp(activation):
    a = torch.linspace(-30, 30, 601, dtype=torch.float64, requires_grad=True)
    value = activation.value(a)
    (derivative,) = torch.autograd.grad(value.sum(), a)
    # atol: autograd's 1 - tanh^2 cancels in the tails, which is why `slope` is not written so.
    torch.testing.assert_close(activation.slope(a), derivative, rtol=1e-12, atol=1e-15)
    assert value.abs().max() <= activation.supremum
    far = activation.value(torch.tensor(1e9, dtype=torch.float64))
    assert float(far) == pytest.approx(activation.supremum, rel=1e-8)
    assert float(derivative.max()) == pytest.approx(activation.max_slope, rel=1e-12)


@dtypes
@pytest.mark.parametrize("p", [-1 + 1e-3, -0.7, 0.0, 0.3, 5.0, 1e4])
@activations
def test_scalar_roots_are_found_to_round_off(activation, p, dtype):
    size = torch.logspace(-12, 6, 400, dtype=torch.float64)
    alpha = torch.cat((-size, torch.zeros(1).double(), size))
    p = torch.tensor(p, dtype=dtype)
    tau = (alpha + p.double() * activation.value(alpha)).to(dtype)
    found, report = solve_scalar(tau, p, activation)
    assert report.unconverged == 0
    assert report.iterations.max() < 50
    assert report.iterations.double().quantile(0.9) <= 10
    # The root's condition: of tau's own rounding, and of the residual's.
    eps = torch.finfo(dtype).eps
    slope = 1 + p.double() * activation.slope(alpha)
    noise = (
        12 * eps * (tau.double().abs() + alpha.abs() + (p.double() * activation.value(alpha)).abs())
    )
    error = (found.double() - alpha).abs()
    assert (error <= noise / torch.minimum(slope, torch.ones(()))).all()
    assert (error <= report.error.double() + noise / (1 + min(float(p), 0.0))).all()
    # The equation is odd, to the last bit.
    torch.testing.assert_close(solve_scalar(-tau, p, activation)[0], -found, rtol=0, atol=0)


@activations
def test_scalar_roots_match_scipys_bracketing(activation):
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(60, dtype=torch.float64, generator=generator) * 12 - 0.999
    tau = 6 * torch.randn(60, dtype=torch.float64, generator=generator)
    found, _ = solve_scalar(tau, p, activation)
    for each, slope, target in zip(found.tolist(), p.tolist(), tau.tolist(), strict=True):

        def equation(a: float, slope: float = slope, target: float = target) -> float:
            return (
                a + slope * float(activation.value(torch.tensor(a, dtype=torch.float64))) - target
            )

        assert each == pytest.approx(brentq(equation, -60, 60, xtol=1e-14), abs=1e-10)


@activations
def test_a_naive_newton_would_cycle_where_this_one_converges(activation):
    # From alpha = tau plain Newton overshoots the kink for large p; the start is what matters.
    tau, p = torch.tensor([8.0]).double(), torch.tensor(40.0).double()
    alpha = tau.clone()
    for _ in range(100):
        residual = tau - alpha - p * activation.value(alpha)
        alpha = alpha + residual / (1 + p * activation.slope(alpha))
    found, report = solve_scalar(tau, p, activation)
    assert report.unconverged == 0
    assert (found + p * activation.value(found) - tau).abs().item() < 1e-13
    if activation.name == "tanh":
        assert (alpha - found).abs().item() > 1


def test_samples_that_are_not_finite_are_flagged_and_hold_up_no_other():
    tau = torch.tensor([1.0, float("nan"), float("inf"), -float("inf"), -2.0])
    found, report = solve_scalar(tau, torch.tensor(-0.9), ACTIVATIONS["tanh"])
    assert report.converged.tolist() == [True, False, False, False, True]
    assert report.iterations.max() < 50
    alone, _ = solve_scalar(tau[[0, 4]], torch.tensor(-0.9), ACTIVATIONS["tanh"])
    torch.testing.assert_close(found[[0, 4]], alone, rtol=0, atol=0)


def test_a_solve_cut_short_says_so_and_bounds_its_error():
    tau = torch.linspace(-3, 3, 101, dtype=torch.float64)
    p = torch.tensor(-0.9, dtype=torch.float64)
    exact, _ = solve_scalar(tau, p, ACTIVATIONS["tanh"])
    found, report = solve_scalar(tau, p, ACTIVATIONS["tanh"], max_iterations=2)
    assert 50 < report.unconverged < 101
    assert report.iterations.max() == 2
    assert ((found - exact).abs() <= report.error + 1e-14).all()
    assert report.error.max() > 1e-3


@dtypes
@activations
def test_triangular_roots_solve_their_equations_and_equal_newtons(activation, dtype):
    B = within_reach(activation, 0.05, 5, seed=2).triu(1)
    B = B + torch.diag(torch.tensor([-0.999, -0.5, 0.0, 2.0, 30.0]).double())
    alpha = 4 * torch.randn(200, 5, generator=torch.Generator().manual_seed(3)).double()
    tau = alpha + activation.value(alpha) @ B.T
    found, report = solve_triangular(tau.to(dtype), B.to(dtype), activation)
    assert report.unconverged == 0
    assert report.iterations.max() < 150
    residual = tau - found.double() - activation.value(found.double()) @ B.T
    assert residual.abs().max() < 1000 * torch.finfo(dtype).eps
    if dtype == torch.float64:
        torch.testing.assert_close(found, alpha, rtol=1e-9, atol=1e-9)


def test_triangular_solve_reads_nothing_below_the_diagonal():
    B = within_reach(ACTIVATIONS["tanh"], 0.1, 4, seed=5)
    tau = torch.randn(20, 4, dtype=torch.float64)
    found, _ = solve_triangular(tau, B.abs(), ACTIVATIONS["tanh"])
    clean, _ = solve_triangular(tau, B.abs().triu(), ACTIVATIONS["tanh"])
    torch.testing.assert_close(found, clean, rtol=0, atol=0)


@pytest.mark.parametrize("size", [1, 2, 6])
@pytest.mark.parametrize("distance", [1e-3, 0.5])
@activations
def test_vector_roots_are_found_from_anywhere_near_the_border_too(activation, distance, size):
    steps = []
    for seed in range(20):
        B = within_reach(activation, distance, size, seed)
        alpha = 3 * torch.randn(50, size, generator=torch.Generator().manual_seed(seed)).double()
        tau = alpha + activation.value(alpha) @ B.T
        found, report = solve_vector(tau, B, activation)
        assert report.unconverged == 0
        torch.testing.assert_close(found, alpha, rtol=0, atol=1e-9)
        steps.append(int(report.iterations.max()))
    assert max(steps) <= 25


def test_vector_roots_match_scipys():
    activation = ACTIVATIONS["softsign"]
    B = within_reach(activation, 0.2, 3, seed=7)
    tau = 2 * torch.randn(10, 3, generator=torch.Generator().manual_seed(8)).double()
    found, _ = solve_vector(tau, B, activation)
    for each, target in zip(found, tau, strict=True):

        def equation(a, target=target):
            a = torch.as_tensor(a)
            return a + B @ activation.value(a) - target

        expected = root(equation, target, tol=1e-13)
        assert expected.success
        torch.testing.assert_close(each, torch.as_tensor(expected.x), rtol=0, atol=1e-9)


def test_vector_solve_flags_what_is_not_finite_and_what_was_cut_short():
    B = within_reach(ACTIVATIONS["tanh"], 0.01, 3, seed=4)
    tau = 3 * torch.randn(6, 3, dtype=torch.float64)
    tau[2, 1] = float("nan")
    _, report = solve_vector(tau, B, ACTIVATIONS["tanh"])
    assert report.converged.tolist() == [True, True, False, True, True, True]
    _, report = solve_vector(tau, B, ACTIVATIONS["tanh"], max_iterations=1)
    assert report.unconverged == 6
