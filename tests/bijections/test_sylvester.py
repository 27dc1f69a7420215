"""Sylvester layers of every variant against autograd, at parameters where mistakes show."""

import math

import numpy as np
import pytest
import torch
from perturbed import jacobians, perturbed, points
from torch import nn
from torch.distributions import Independent, Normal, TransformedDistribution

from flowbench.bijections.compose import Compose
from flowbench.bijections.diagonal import Diagonal
from flowbench.bijections.inverse import Inverse
from flowbench.bijections.linear import PlainLinear
from flowbench.bijections.planar import Planar
from flowbench.bijections.sylvester import (
    GeneralSylvester,
    OrthogonalSylvester,
    Sylvester,
    TriangularSylvester,
)
from flowbench.errors import InputError
from flowbench.numerics.monotone import ACTIVATIONS
from flowbench.numerics.reflections import reflected

VARIANTS = {
    "orthogonal": OrthogonalSylvester,
    "householder": lambda dim, M, *rest: OrthogonalSylvester(dim, M, *rest, reflections=1),
    "triangular": lambda dim, M, *rest: TriangularSylvester(dim, *rest),
    "reversed": lambda dim, M, *rest: TriangularSylvester(dim, *rest, reverse=True),
    "general": GeneralSylvester,
}
CASES = [
    pytest.param(name, dim, M, id=f"{name}-D{dim}-M{M}")
    for name in VARIANTS
    for dim, M in ((1, 1), (2, 2), (5, 1), (5, 3), (5, 5))
    if name not in ("triangular", "reversed") or dim == M
]
cases = pytest.mark.parametrize(("variant", "dim", "M"), CASES)
variants = pytest.mark.parametrize("variant", VARIANTS)
scales = pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])


def strong(variant: str, dim: int, M: int, scale: float, seed=0, activation="tanh") -> Sylvester:
    """Return a layer whose bends are as large as its input, not the small ones it starts with."""
    torch.manual_seed(seed)
    layer = VARIANTS[variant](dim, M, activation)
    with torch.no_grad():
        bends = layer.V if variant == "general" else layer.R
        bends.add_(2 * torch.randn_like(bends))
    return perturbed(layer, scale, seed)


def round_off(x: torch.Tensor, z: torch.Tensor, J: torch.Tensor) -> torch.Tensor:
    """Return what one unit of rounding in x or z moves the recovered x."""
    forth, back = (torch.linalg.matrix_norm(each, ord=2) for each in (J, torch.linalg.inv(J)))
    return torch.finfo(x.dtype).eps * back * (z.norm(dim=1) + forth * x.norm(dim=1) + 1)


@cases
@scales
def test_log_dets_match_autograd_in_both_directions_and_decode_inverts(variant, dim, M, scale):
    largest = 0.0
    for seed in range(4):
        layer = strong(variant, dim, M, scale, seed)
        x = points(6, dim)
        z, log_det = layer.encode(x)
        J = jacobians(layer.encode_map, x)
        sign, expected = torch.linalg.slogdet(J)
        assert torch.linalg.cond(J).max() < 1e6
        torch.testing.assert_close(log_det, expected, rtol=0, atol=1e-9)
        assert (sign > 0).all()
        back, back_log_det = layer.decode(z)
        assert layer.convergence.unconverged == 0
        assert ((back - x).norm(dim=1) <= 100 * round_off(x, z, J)).all()
        torch.testing.assert_close(back_log_det, -log_det, rtol=0, atol=1e-9)
        by_autograd = torch.linalg.slogdet(jacobians(layer.decode_map, z))[1]
        torch.testing.assert_close(back_log_det, by_autograd, rtol=0, atol=1e-8)
        largest = max(largest, float(log_det.detach().abs().max()))
    assert largest > 0.3


@pytest.mark.parametrize("activation", ["atan", "softsign"])
@variants
def test_other_activations(variant, activation):
    layer = strong(variant, 4, 4, 1.0, seed=2, activation=activation)
    x = points(6, 4)
    z, log_det = layer.encode(x)
    expected = torch.linalg.slogdet(jacobians(layer.encode_map, x))[1]
    torch.testing.assert_close(log_det, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(layer.decode_map(z), x, rtol=0, atol=1e-11)


@cases
def test_factors_are_what_the_theorem_needs(variant, dim, M):
    layer = strong(variant, dim, M, 2.0)
    V, W, B = layer.factors()
    torch.testing.assert_close(W.T @ V, B, rtol=1e-10, atol=1e-10)
    if variant == "general":
        assert torch.linalg.eigvalsh((B + B.T) / 2)[0] >= layer.floor - 1e-9
    else:
        assert torch.equal(B, B.triu())
        assert (B.diagonal() >= layer.floor - 1e-9).all()


@pytest.mark.parametrize(("dim", "M", "count"), [(1, 1, 1), (5, 3, 3), (5, 5, 2), (40, 32, 32)])
def test_reflections_match_their_product_one_by_one_and_keep_angles(dim, M, count):
    torch.manual_seed(1)
    vectors = 3 * torch.randn(count, dim, dtype=torch.float64)
    vectors[0] *= 1e-8
    product = torch.eye(dim, dtype=torch.float64)
    for v in vectors:
        product = product @ (torch.eye(dim) - 2 * torch.outer(v, v) / (v @ v))
    basis = reflected(vectors, torch.eye(M, dtype=torch.float64))
    torch.testing.assert_close(basis, product[:, :M], rtol=0, atol=1e-13)
    torch.testing.assert_close(basis.T @ basis, torch.eye(M).double(), rtol=0, atol=1e-14)
    matrix = torch.randn(M, 4, dtype=torch.float64)
    torch.testing.assert_close(reflected(vectors, matrix), basis @ matrix, rtol=0, atol=1e-12)
    vectors[0] = 0
    basis = reflected(vectors, torch.eye(M, dtype=torch.float64))
    torch.testing.assert_close(basis.T @ basis, torch.eye(M).double(), rtol=0, atol=1e-14)


def test_a_missing_transpose_would_be_found_out_here_but_not_near_the_start():
    """Pyro's published formula multiplies by R~ where its transpose belongs (and so does R)."""

    def published(layer: OrthogonalSylvester, x: torch.Tensor) -> torch.Tensor:
        Q = reflected(layer.vectors, torch.eye(layer.bottleneck).double())
        V, W, _ = layer.factors()
        R, R_tilde = Q.T @ V, (Q.T @ W).T
        h = torch.tanh(x @ Q @ R_tilde + layer.b)  # R~ instead of its transpose
        return x + h @ R @ Q.T  # and R likewise

    x = points(20, 4)
    errors = {}
    for size in (0.01, 1.0):
        layer = strong("orthogonal", 4, 4, 0.5)
        with torch.no_grad():
            layer.R.copy_(size * layer.R)
            layer.R_tilde.copy_(size * layer.R_tilde)
            level = math.log(math.expm1(-layer.floor))
            on_diagonal = layer.places[0] == layer.places[1]
            layer.R[on_diagonal] = level + size * layer.R[on_diagonal]
        log_det = layer.encode(x)[1]
        true = torch.linalg.slogdet(jacobians(lambda t, given=layer: published(given, t), x))[1]
        errors[size] = float((log_det - true).abs().max().detach())
    assert errors[0.01] < 1e-2
    assert errors[1.0] > 0.1


def test_planar_is_the_general_variant_with_one_unit():
    layer = strong("general", 5, 1, 1.0)
    planar = Planar(5).double().eval()
    with torch.no_grad():
        planar.w.copy_(layer.W[:, 0])
        # Undo planar's shift along w, so that the vectors agree after it.
        V, _, B = layer.factors()
        raw = torch.log(torch.expm1(B[0, 0] - planar.eps + 1))
        planar.u.copy_(V[:, 0] + (raw - B[0, 0]) * planar.w / planar.w.square().sum())
        planar.b.copy_(layer.b[0])
    x = points(20, 5)
    for found, expected in zip(layer.encode(x), planar.encode(x), strict=True):
        torch.testing.assert_close(found, expected)


def test_general_factors_that_need_no_shrinking_are_reached():
    """The constraint costs nothing: V-hat at any eigenvalue above the border has a V."""
    layer = GeneralSylvester(4, 3).double()
    torch.manual_seed(0)
    for _ in range(20):
        target = torch.randn(4, 3, dtype=torch.float64)
        B = layer.W.detach().T @ target
        least = float(torch.linalg.eigvalsh((B + B.T) / 2)[0])
        target *= min(1.0, -0.98 / least) if least < 0 else 1.0
        low, high = 1.0, 1e4  # bisection on the length of V along the target
        for _ in range(100):
            middle = math.sqrt(low * high)
            with torch.no_grad():
                layer.V.copy_(middle * target)
                longer = layer.factors().V.norm() > target.norm()
            low, high = (low, middle) if longer else (middle, high)
        torch.testing.assert_close(layer.factors().V.detach(), target, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("A", ["diagonal", "general"])
def test_matrix_determinant_lemma(A):
    r"""det(A + V S W^T) = det(A) det(I + S W^T A^{-1} V), for diagonal and for any A."""
    torch.manual_seed(4)
    linear = Diagonal(5) if A == "diagonal" else PlainLinear((5,))
    linear = perturbed(linear, 1.0, seed=5)
    with torch.no_grad():
        next(iter(linear.parameters())).add_(0.3)
    layer = strong("general", 5, 2, 1.0)
    both = Compose([linear, layer]).eval()
    x = points(6, 5)
    # In the data's coordinates the map is A x + V sigma(W'^T x + b'), W' = A^T W.
    matrix = jacobians(linear.encode_map, x)[0].detach().numpy()
    V, W, _ = (factor.detach().numpy() for factor in layer.factors())
    W = matrix.T @ W
    y = linear.encode_map(x)
    slopes = ACTIVATIONS["tanh"].slope(y @ layer.W + layer.b).detach().numpy()
    for slope, found in zip(slopes, both.encode(x)[1], strict=True):
        S = np.diag(slope)
        left = np.linalg.det(matrix + V @ S @ W.T)
        right = np.linalg.det(matrix) * np.linalg.det(
            np.eye(2) + S @ W.T @ np.linalg.inv(matrix) @ V
        )
        assert left == pytest.approx(right, rel=1e-10)
        assert float(found.detach()) == pytest.approx(math.log(abs(left)), abs=1e-10)


@variants
def test_decode_passes_gradcheck_in_its_input_and_its_parameters(variant):
    layer = strong(variant, 3, 3 if variant in ("triangular", "reversed") else 2, 0.5, seed=3)
    z = points(3, 3).requires_grad_()
    names = [f"0.{name}" for name, _ in layer.named_parameters()]
    values = [parameter.detach().clone().requires_grad_() for parameter in layer.parameters()]

    def decode(z, *given):
        return torch.func.functional_call(Decoding(layer), dict(zip(names, given, strict=True)), z)

    assert torch.autograd.gradcheck(decode, (z, *values), atol=1e-6)


class Decoding(nn.Sequential):
    """Decode as a module's forward, as functional_call needs it."""

    def forward(self, z):
        return self[0].decode(z)


@cases
def test_every_parameter_gets_a_gradient(variant, dim, M):
    layer = strong(variant, dim, M, 0.5).train()
    z, log_det = layer.encode(points(30, dim))
    (z.square().sum() + log_det.sum()).backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.abs().max() > 1e-9, name


@variants
def test_generative_direction_and_transform_view(variant):
    layer = strong(variant, 3, 3, 0.5)
    turned = Inverse(layer)
    z = points(20, 3)
    for found, expected in zip(turned.decode(z), layer.encode(z), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    base = Independent(Normal(torch.zeros(3).double(), torch.ones(3).double()), 1)
    density = TransformedDistribution(base, [turned.transform()])
    x = turned.decode_map(z)
    expected = base.log_prob(z) - torch.linalg.slogdet(jacobians(turned.decode_map, z))[1]
    torch.testing.assert_close(density.log_prob(x.detach()), expected, rtol=1e-9, atol=1e-9)


@variants
def test_float32_inverts_to_its_own_round_off_and_autocast_stays_outside(variant):
    layer = strong(variant, 6, 6, 0.5).float()
    x = points(200, 6).float()
    expected = layer.encode(x)
    back = layer.decode(expected[0])[0]
    J = jacobians(layer.encode_map, x)
    assert ((back - x).norm(dim=1) <= 100 * round_off(x, expected[0], J)).all()
    assert layer.convergence.unconverged <= 2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer.encode(x)
    for left, right in zip(found, expected, strict=True):
        assert left.dtype == torch.float32
        torch.testing.assert_close(left, right, rtol=0, atol=0)


@variants
def test_maps_pay_for_no_log_det(monkeypatch, variant):
    layer = strong(variant, 4, 4, 0.5)
    x = points(5, 4)
    monkeypatch.setattr(layer, "log_det", lambda *given: pytest.fail("a map needs no log-det"))
    torch.testing.assert_close(layer.decode_map(layer.encode_map(x)), x)


@variants
def test_factors_kept_in_eval_follow_the_parameters(variant):
    layer = strong(variant, 3, 3, 0.5)
    x = points(5, 3)
    with torch.no_grad():
        before = layer.encode_map(x)
        for parameter in layer.parameters():
            parameter.mul_(1.1)
        after = layer.encode_map(x)
    torch.testing.assert_close(after, layer.encode_map(x), rtol=0, atol=0)
    assert not torch.allclose(before, after)


def test_a_sample_that_is_not_finite_is_flagged_alone():
    layer = strong("orthogonal", 3, 2, 0.5)
    z = points(4, 3)
    z[1, 0] = float("nan")
    x = layer.decode_map(z)
    assert layer.convergence.converged.tolist() == [True, False, True, True]
    assert x[[0, 2, 3]].isfinite().all()


def test_labels_and_the_refused_context():
    layer = OrthogonalSylvester(3, 2)
    assert layer.log_det_label == "exact"
    assert layer.inverse_label == "iterative"
    with pytest.raises(InputError, match="takes no context"):
        layer.encode(torch.zeros(1, 3), torch.zeros(1, 1))
