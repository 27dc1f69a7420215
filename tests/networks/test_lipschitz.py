"""Bounded layers: norms of the maps as they run, their restoration, and their derivatives."""

import copy

import pytest
import torch
from torch import nn

from flowbench.networks.contractive import (
    ACTIVATIONS,
    Contractive,
    contractive_conv,
    contractive_mlp,
    jacobian_norms,
)
from flowbench.networks.lipschitz import LipschitzConv2d, LipschitzLinear, SpectralLayer


def perturb(module: nn.Module, scale: float = 1.0, seed: int = 0) -> None:
    """Move every parameter by noise of its own size: nothing stays near its start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            spread = parameter.std() if parameter.numel() > 1 else parameter.abs()
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.add_(scale * spread.clamp(min=0.02) * noise)


def operator_norm(layer: SpectralLayer, event_shape: tuple[int, ...]) -> float:
    x = torch.randn(event_shape, dtype=layer.weight.dtype)
    matrix = torch.autograd.functional.jacobian(lambda t: layer(t[None])[0], x)
    return float(torch.linalg.matrix_norm(matrix.reshape(-1, x.numel()), ord=2))


LAYERS = [
    pytest.param(lambda c: LipschitzLinear(7, 4, c), (7,), id="linear"),
    pytest.param(lambda c: LipschitzLinear(1, 9, c), (1,), id="linear-from-one"),
    pytest.param(lambda c: LipschitzConv2d(2, 3, 3, (5, 7), c), (2, 5, 7), id="conv"),
    pytest.param(lambda c: LipschitzConv2d(3, 2, 1, (3, 4), c), (3, 3, 4), id="conv-1x1"),
]


@pytest.mark.parametrize(("build", "shape"), LAYERS)
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_norm_of_the_map_that_runs_is_at_most_the_bound(build, shape, scale):
    torch.manual_seed(0)
    layer = build(0.7).double()
    perturb(layer, scale)
    layer.weight.data *= 3
    layer.eval()
    assert operator_norm(layer, shape) == pytest.approx(0.7, rel=1e-3)
    assert operator_norm(layer, shape) <= layer.norm_bound() * (1 + 1e-9)


@pytest.mark.parametrize(("build", "shape"), LAYERS)
def test_a_weight_below_the_bound_is_left_as_it_is(build, shape):
    layer = build(0.7)
    layer.weight.data *= 0.5
    layer.eval()
    torch.testing.assert_close(layer.bounded_weight(), layer.weight, rtol=0, atol=0)
    assert operator_norm(layer, shape) == pytest.approx(0.35, rel=1e-3)


def test_eval_norm_of_a_linear_layer_is_certified():
    layer = LipschitzLinear(30, 20, 0.9).double()
    perturb(layer, 2.0)
    layer.eval()
    assert layer.norm_bound() <= 0.9 * (1 + 1e-12)


@pytest.mark.parametrize(("build", "shape"), LAYERS)
def test_steps_keep_the_norm_near_the_bound_in_training(build, shape):
    torch.manual_seed(0)
    layer = build(0.9)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.05)
    for _ in range(30):
        optimiser.zero_grad()
        (-layer(torch.randn(16, *shape)).square().mean()).backward()
        optimiser.step()
        layer.weight.data += 0.05 * torch.randn_like(layer.weight)
        layer.restore(layer.step_tolerance, advance=True)
    assert operator_norm(layer, shape) <= 0.9 * 1.02


@pytest.mark.parametrize(("build", "shape"), LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_loading_restores_the_norm_and_loading_ones_own_state_changes_nothing(
    build, shape, training
):
    torch.manual_seed(0)
    layer = build(0.7)
    perturb(layer, 2.0)
    layer.train(training)
    layer.restore(1e-3)
    state = copy.deepcopy(layer.state_dict())
    x = torch.randn(5, *shape)

    other = build(0.7).train(training)
    other.load_state_dict(state)
    torch.testing.assert_close(other(x), layer(x), rtol=0, atol=0)

    stale = {**state, "u": torch.ones_like(state["u"]), "v": torch.ones_like(state["v"])}
    stale["u"] /= stale["u"].norm()
    stale["v"] /= stale["v"].norm()
    other.load_state_dict(stale)
    assert operator_norm(other, shape) <= 0.7 * 1.02


@pytest.mark.parametrize(("build", "shape"), LAYERS)
def test_forward_in_eval_changes_no_buffer(build, shape):
    layer = build(0.7).eval()
    layer.weight.data *= 5  # Makes u and v stale: a forward pass that iterated would move them.
    before = copy.deepcopy(layer.state_dict())
    layer(torch.randn(3, *shape))
    layer.linearise(torch.randn(3, *shape))
    for name, value in layer.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_layers_draw_no_random_numbers_when_restored():
    layer = LipschitzConv2d(2, 2, 3, (4, 4), 0.7)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    layer.restore(1e-6, advance=True)
    layer.eval()
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_a_zero_weight_has_finite_gradients():
    layer = LipschitzLinear(3, 3, 0.5)
    nn.init.zeros_(layer.weight)
    layer.eval()
    layer(torch.ones(2, 3)).sum().backward()
    assert layer.weight.grad.isfinite().all()
    assert layer.weight.grad.abs().max() > 0


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_activations_are_one_lipschitz_and_their_slope_is_the_derivative(name):
    x = torch.linspace(-12, 12, 40_001, dtype=torch.float64, requires_grad=True)
    activation = ACTIVATIONS[name]().double()
    for raw in (-2.0, 0.5, 6.0):
        for parameter in activation.parameters():
            parameter.data.fill_(raw)
        y, slope = activation.value_and_slope(x)
        torch.testing.assert_close(y, activation(x))
        (derivative,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        torch.testing.assert_close(slope, derivative)
        assert slope.abs().max() <= 1.0
        # Second derivatives: the log-det's gradient goes through them.
        (curvature,) = torch.autograd.grad(derivative.sum(), x, retain_graph=True)
        (found,) = torch.autograd.grad(slope.sum(), x)
        torch.testing.assert_close(found, curvature)


NETWORKS = [
    pytest.param(lambda a: contractive_mlp(3, (8, 5), 0.9, a), (3,), id="mlp"),
    pytest.param(lambda a: contractive_conv((2, 3, 5), (6, 4), 0.9, a), (2, 3, 5), id="conv"),
]


@pytest.mark.parametrize(("build", "shape"), NETWORKS)
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_linearisation_matches_autograd(build, shape, activation):
    torch.manual_seed(0)
    network: Contractive = build(activation).double()
    perturb(network)
    network.eval()
    x = torch.randn(4, *shape, dtype=torch.float64)
    tangents = torch.randn(3, 4, *shape, dtype=torch.float64)
    y, product = network.linearise(x)
    torch.testing.assert_close(y, network(x))
    for tangent, found in zip(tangents, product(tangents), strict=True):
        torch.testing.assert_close(found, torch.func.jvp(network, (x,), (tangent,))[1])
    # Tangents shared by all samples may be handed over once.
    shared = product(tangents[:, :1])
    torch.testing.assert_close(shared, product(tangents[:, :1].expand(3, 4, *shape)))


@pytest.mark.parametrize(("build", "shape"), NETWORKS)
def test_bound_is_shared_by_the_linear_maps_and_holds_for_the_whole(build, shape):
    torch.manual_seed(0)
    network: Contractive = build("lipswish").double()
    perturb(network, 2.0)
    network.eval()
    layers = [layer for layer in network.sequence if isinstance(layer, SpectralLayer)]
    assert [layer.lipschitz for layer in layers] == pytest.approx([0.9 ** (1 / 3)] * 3)
    assert network.lipschitz == pytest.approx(0.9)
    x = torch.randn(6, *shape, dtype=torch.float64)
    exact = [
        torch.linalg.matrix_norm(
            torch.autograd.functional.jacobian(lambda t: network(t[None])[0], event).reshape(
                event.numel(), -1
            ),
            ord=2,
        )
        for event in x
    ]
    torch.testing.assert_close(
        jacobian_norms(network, x, 300), torch.stack(exact), rtol=1e-4, atol=1e-6
    )
    assert max(exact) <= min(network.norm_bound(), 0.9 * (1 + 1e-3))


@pytest.mark.parametrize("activation", ["lipswish", "elu", "tanh"])
@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_frozen_network_is_the_same_map_and_follows_no_further_change(kind, activation):
    if kind == "mlp":
        network, x = contractive_mlp(3, (8, 5), 0.9, activation), torch.randn(4, 3)
    else:
        network, x = contractive_conv((2, 4, 5), (6, 3), 0.9, activation), torch.randn(4, 2, 4, 5)
    network, x = network.double(), x.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    network.eval()
    expected = network(x).detach()
    frozen = network.frozen()
    for parameter in network.parameters():
        parameter.data.zero_()
    torch.testing.assert_close(frozen(x), expected, rtol=1e-12, atol=1e-13)
    assert not frozen(x).requires_grad
