"""Planar layers against autograd, at parameters where mistakes show."""

import pytest
import torch
from perturbed import jacobians, perturbed, points
from torch.distributions import Independent, Normal, TransformedDistribution

from flowbench.bijections.inverse import Inverse
from flowbench.bijections.planar import Planar
from flowbench.errors import InputError
from flowbench.families.planar import Planar as PlanarFlow
from flowbench.numerics.monotone import ACTIVATIONS, Activation

activations = pytest.mark.parametrize("activation", ACTIVATIONS)
scales = pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
dims = pytest.mark.parametrize("dim", [1, 2, 7])


def strong(dim: int, activation: str, scale: float, seed: int = 0) -> Planar:
    """Return a layer whose bend is as large as its input, not the small one it starts with."""
    torch.manual_seed(seed)
    layer = Planar(dim, activation)
    with torch.no_grad():
        layer.u.mul_(10)
    return perturbed(layer, scale, seed)


@dims
@scales
@activations
def test_log_dets_match_autograd_in_both_directions_and_decode_inverts(activation, scale, dim):
    for seed in range(5):
        layer = strong(dim, activation, scale, seed)
        x = points(10, dim)
        z, log_det = layer.encode(x)
        expected = torch.linalg.slogdet(jacobians(layer.encode_map, x))
        torch.testing.assert_close(log_det, expected[1], rtol=0, atol=1e-10)
        assert (expected[0] > 0).all()
        back, back_log_det = layer.decode(z)
        assert layer.convergence.unconverged == 0
        torch.testing.assert_close(back, x, rtol=0, atol=1e-11)
        torch.testing.assert_close(back_log_det, -log_det, rtol=0, atol=1e-9)
        by_autograd = torch.linalg.slogdet(jacobians(layer.decode_map, z))[1]
        torch.testing.assert_close(back_log_det, by_autograd, rtol=0, atol=1e-9)


def test_a_strongly_violated_constraint_is_mended_and_the_layer_stays_invertible():
    layer = Planar(3).double().eval()
    with torch.no_grad():
        layer.w.copy_(torch.tensor([2.0, -1.0, 0.5]))
        layer.u.copy_(-9 * layer.w)
    assert layer.w @ layer.u < -40
    with torch.no_grad():
        u_hat, p = layer.constrained()
        along = layer.w @ u_hat
    assert float(p) == pytest.approx(-1 + layer.eps, abs=1e-12)
    assert float(along) == pytest.approx(float(p), abs=1e-12)
    # The correction is along w alone: the paper's equation in appendix A.1.
    off = u_hat - layer.u
    torch.testing.assert_close(off, (off @ layer.w) / (layer.w @ layer.w) * layer.w)
    x = points(500, 3)
    torch.testing.assert_close(layer.decode_map(layer.encode_map(x)), x, rtol=0, atol=1e-10)


def test_constraint_is_the_papers_softplus():
    layer = perturbed(Planar(4), 1.0)
    raw = layer.w @ layer.u
    expected = -1 + layer.eps + torch.log1p(raw.exp())
    torch.testing.assert_close(layer.constrained()[1], expected)


def test_without_the_constraint_the_map_would_fold():
    w, u = torch.tensor([1.5, 0.5]), torch.tensor([-2.0, 0.3])
    slope = 1 + (w @ u) * ACTIVATIONS["tanh"].slope(torch.zeros(()))
    assert slope < 0


def test_a_layer_without_direction_is_a_translation():
    layer = perturbed(Planar(3), 1.0)
    with torch.no_grad():
        layer.w.zero_()
    x = points(20, 3)
    z, log_det = layer.encode(x)
    torch.testing.assert_close(log_det, torch.zeros(20).double(), rtol=0, atol=1e-14)
    torch.testing.assert_close((z - x).std(0), torch.zeros(3).double(), rtol=0, atol=1e-14)
    torch.testing.assert_close(layer.decode_map(z), x)


@activations
def test_decode_passes_gradcheck_in_its_input_and_its_parameters(activation):
    layer = strong(3, activation, 0.5, seed=3)
    z = points(3, 3).requires_grad_()

    def decode(z, w, u, b):
        return torch.func.functional_call(Decoding(layer), {"0.w": w, "0.u": u, "0.b": b}, z)

    parameters = [p.detach().clone().requires_grad_() for p in (layer.w, layer.u, layer.b)]
    assert torch.autograd.gradcheck(decode, (z, *parameters), atol=1e-6)


class Decoding(torch.nn.Sequential):
    """Decode as a module's forward, as functional_call needs it."""

    def forward(self, z):
        return self[0].decode(z)


@dims
def test_generative_direction_swaps_the_formula_and_its_inverse(dim):
    layer = strong(dim, "tanh", 1.0)
    turned = Inverse(layer)
    z = points(10, dim)
    for found, expected in zip(turned.decode(z), layer.encode(z), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(turned.encode_map(turned.decode_map(z)), z, rtol=0, atol=1e-11)


def test_transform_view_serves_a_transformed_distribution():
    layer = strong(3, "tanh", 0.5)
    base = Independent(Normal(torch.zeros(3).double(), torch.ones(3).double()), 1)
    found = TransformedDistribution(base, [layer.transform()])
    x = points(50, 3)
    z = layer.encode_map(x)
    inverse_jacobian = torch.linalg.slogdet(jacobians(layer.encode_map, x))[1]
    torch.testing.assert_close(found.log_prob(x), base.log_prob(z) + inverse_jacobian)
    draws = found.rsample((7,))
    torch.testing.assert_close(layer.encode_map(layer.decode_map(draws)), draws)


@pytest.mark.parametrize("direction", ["density", "generative"])
@activations
def test_samples_pay_for_no_slope(monkeypatch, activation, direction):
    """Where sampling iterates, the solver's own Newton steps are all that takes a derivative."""
    flow = PlanarFlow((3,), depth=4, activation=activation, direction=direction)
    calls = []
    for layer in flow.bijections():
        if isinstance(layer, Planar):
            known = layer.activation
            layer.activation = Activation(
                known.name,
                known.value,
                lambda a, known=known: calls.append(a.shape) or known.slope(a),
                known.supremum,
                known.max_slope,
            )
    flow.sample(5)
    newton_steps = sum(
        int(layer.convergence.iterations.max()) + 1
        for layer in flow.bijections()
        if layer.convergence is not None
    )
    assert len(calls) == newton_steps
    assert (newton_steps > 0) == (direction == "density")
    flow.sample_and_log_prob(5)
    assert len(calls) > newton_steps


def test_half_precision_inputs_are_widened_under_autocast():
    layer = strong(4, "tanh", 0.5).float()
    x = points(20, 4).float()
    expected = layer.encode(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer.encode(x)
        assert layer.decode(found[0])[0].dtype == torch.float32
        assert layer.encode(x.bfloat16())[1].dtype == torch.float32
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)


def test_parameters_kept_in_eval_follow_what_training_makes_of_them():
    layer = strong(3, "tanh", 0.5)
    x = points(5, 3)
    with torch.no_grad():
        before = layer.encode_map(x)
        layer.u.mul_(2)
        after = layer.encode_map(x)
    torch.testing.assert_close(after, layer.encode_map(x), rtol=0, atol=0)
    assert not torch.allclose(before, after)


def test_a_context_is_refused_by_name():
    with pytest.raises(InputError, match="Planar takes no context"):
        Planar(2).encode(torch.zeros(1, 2), torch.zeros(1, 1))
