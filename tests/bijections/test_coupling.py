"""Couplings: their formulas, their bound, their context."""

import pytest
import torch
from layers import full_jacobians
from perturbed import perturbed

from flowbench.bijections.compose import Compose
from flowbench.bijections.coupling import AdditiveCoupling, make_coupling
from flowbench.bijections.diagonal import Diagonal
from flowbench.bijections.splits import Split
from flowbench.networks.mlp import MLP

KINDS = ["additive", "affine"]
SHAPES = [(5,), (4, 2, 3)]


def test_affine_couplings_follow_the_papers_equation():
    torch.manual_seed(0)
    coupling = perturbed(make_coupling("affine", Split("half", (5,), 0.4), (8,)), 1.0)
    x = 2 * torch.randn(6, 5, dtype=torch.float64)
    raw, shift = coupling.conditioner(x[:, :2]).chunk(2, 1)
    log_scale = 2 * torch.tanh(raw / 2)
    z, log_det = coupling.encode(x)
    assert torch.equal(z[:, :2], x[:, :2])
    torch.testing.assert_close(z[:, 2:], x[:, 2:] * log_scale.exp() + shift)
    torch.testing.assert_close(log_det, log_scale.sum(1))


@pytest.mark.parametrize("bound", [0.5, 2.0])
def test_log_scales_stay_below_their_bound_with_their_gradient_alive(bound):
    torch.manual_seed(0)
    split = Split("half", (2,))
    coupling = make_coupling("affine", split, (4,), scale_bound=bound).double()
    with torch.no_grad():
        coupling.conditioner.rest[-1].bias.fill_(3 * bound)
    x = torch.randn(5, 2, dtype=torch.float64)
    log_det = coupling.encode(x)[1]
    assert (log_det > 0.9 * bound).all()
    assert (log_det < bound).all()
    log_det.sum().backward()
    assert coupling.conditioner.rest[-1].bias.grad[0] != 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_context_changes_the_map_of_what_moves_and_inverts_with_it(kind, shape):
    torch.manual_seed(0)
    coupling = perturbed(make_coupling(kind, Split("half", shape), (8,), context_size=3), 1.0)
    x = torch.randn(6, *shape, dtype=torch.float64)
    context = torch.randn(6, 3, dtype=torch.float64)
    z, log_det = coupling.encode(x, context)
    other, other_log_det = coupling.encode(x, context + 1)
    copied, moved = coupling.split.parts(z)
    other_copied, other_moved = coupling.split.parts(other)
    assert torch.equal(copied, other_copied)
    assert (moved != other_moved).any(1).all()
    if kind == "affine":
        assert (log_det != other_log_det).all()
    back, back_log_det = coupling.decode(z, context)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-12)
    torch.testing.assert_close(back_log_det, -log_det, rtol=0, atol=1e-12)
    jacobians = torch.stack(
        [
            full_jacobians(lambda t, c=c: coupling.encode_map(t, c[None]), each[None])[0]
            for each, c in zip(x, context, strict=True)
        ]
    )
    torch.testing.assert_close(log_det, torch.linalg.slogdet(jacobians)[1], rtol=0, atol=1e-10)


def test_a_composition_hands_the_context_to_the_layers_that_take_one():
    torch.manual_seed(0)
    coupling = make_coupling("affine", Split("half", (4,)), (8,), context_size=2)
    both = perturbed(Compose([Diagonal(4), coupling]), 1.0)
    x, context = torch.randn(3, 4).double(), torch.randn(3, 2).double()
    expected = coupling.encode(both.sequence[0].encode_map(x), context)[0]
    assert torch.equal(both.encode(x, context)[0], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_couplings_start_near_the_identity_and_additive_ones_off_their_saddle(kind):
    torch.manual_seed(0)
    coupling = make_coupling(kind, Split("half", (6,)), (32, 32))
    x = torch.randn(100, 6)
    off = (coupling.encode_map(x) - x).abs().max()
    assert off < 0.2
    assert (off > 0) == (kind == "additive")


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_networks_leave_the_map_and_log_det_in_float32(kind):
    torch.manual_seed(0)
    coupling = perturbed(make_coupling(kind, Split("half", (6,)), (32,)), 1.0).float()
    x = torch.randn(50, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z, log_det = coupling.encode(x)
        back, back_log_det = coupling.decode(z)
    assert z.dtype == log_det.dtype == back.dtype == torch.float32
    # The network rounds to bfloat16 the same way in both directions: the inverse is exact.
    torch.testing.assert_close(back, x, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(back_log_det, -log_det, rtol=0, atol=0)


def test_dropout_is_off_in_eval_mode_and_on_in_training():
    torch.manual_seed(0)
    split = Split("half", (6,))
    coupling = make_coupling("additive", split, (32, 32), dropout=0.5)
    x = torch.randn(8, 6)
    assert not torch.equal(coupling.encode_map(x), coupling.encode_map(x))
    coupling.eval()
    assert torch.equal(coupling.encode_map(x), coupling.encode_map(x))


def test_an_additive_coupling_by_hand():
    network = MLP(1, 1, (1,))
    with torch.no_grad():
        for layer, weight, bias in ((network.first, 1.0, 0.0), (network.rest[-1], 2.0, 3.0)):
            layer.weight.fill_(weight)
            layer.bias.fill_(bias)
    coupling = AdditiveCoupling(Split("half", (2,)), network)
    # t(x1) = 2 relu(x1) + 3
    z, log_det = coupling.encode(torch.tensor([[1.0, 10.0], [-1.0, 10.0]]))
    assert z.tolist() == [[1.0, 15.0], [-1.0, 13.0]]
    assert log_det.tolist() == [0.0, 0.0]
