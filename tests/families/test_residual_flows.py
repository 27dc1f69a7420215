"""Residual flows as a family: what their blocks do together."""

import math

import pytest
import torch

from flowbench.bijections.inverse import Inverse
from flowbench.errors import InputError
from flowbench.families.residual import Residual
from flowbench.networks.lipschitz import SpectralLayer


def small(event_shape=(3,), seed: int = 0, **hyperparameters) -> Residual:
    """Return a flow away from its start, in float64 and eval mode."""
    torch.manual_seed(seed)
    hyperparameters = {"depth": 2, "hidden": (10, 8), "lipschitz": 0.9} | hyperparameters
    flow = Residual(event_shape, **hyperparameters).double()
    flow.initialise(3 * torch.randn(200, *event_shape, dtype=torch.float64) + 1)
    with torch.no_grad():
        for parameter in flow.parameters():
            spread = parameter.abs().mean().clamp(min=0.02)
            parameter.add_(0.5 * spread * torch.randn_like(parameter))
    return flow.eval()


IMAGE = (2, 4, 4)


@pytest.mark.parametrize("shape", [(1,), (3,), IMAGE, (1, 3, 5)], ids=str)
@pytest.mark.parametrize("direction", ["density", "generative"])
def test_log_dets_match_autograd_and_both_directions_cancel(shape, direction):
    flow = small(shape, direction=direction, log_det="exact")
    x = 2 * torch.randn(3, *shape, dtype=torch.float64) + 1
    z, log_det = flow.encode(x)
    for point, found in zip(x, log_det, strict=True):
        J = torch.autograd.functional.jacobian(lambda t: flow.encode(t[None])[0][0], point)
        expected = torch.linalg.slogdet(J.reshape(flow.dim, flow.dim))[1]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    back, back_log_det = flow.decode(z)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-10)
    torch.testing.assert_close(back_log_det, -log_det, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("dim", "method"), [(2, "exact"), (8, "exact"), (9, "roulette")])
def test_default_log_det_is_chosen_by_dimension(dim, method):
    flow = small((dim,))
    assert {block.method for block in flow.blocks()} == {method}
    assert flow.log_det_label == "exact"  # evaluation expands the Jacobian
    assert flow.train().log_det_label == ("exact" if method == "exact" else "estimate")


def test_flat_blocks_come_last_and_see_the_whole_image():
    flow = small(IMAGE, depth=1, squeeze_first=False, factor_out=False, flat_depth=2)
    assert [block.dim for block in flow.blocks()] == [32] * 5
    kinds = [type(next(iter(block.branch.layers))).__name__ for block in flow.blocks()]
    assert kinds == ["LipschitzConv2d"] * 3 + ["LipschitzLinear"] * 2


@pytest.mark.parametrize(
    "option", [{"squeeze_first": False}, {"factor_out": False}, {"flat_depth": 1}]
)
def test_what_only_images_have_is_refused_on_vectors(option):
    ((key, value),) = option.items()
    with pytest.raises(InputError, match=f"{key} = {value}: the data are vectors"):
        Residual((3,), **option)


def test_every_block_has_noise_of_its_own():
    flow = small(IMAGE, depth=2)
    streams = [block.stream for block in flow.blocks()]
    assert streams == list(range(len(streams)))
    assert len(streams) == 4


@pytest.mark.parametrize("direction", ["density", "generative"])
def test_training_estimate_is_unbiased_for_the_log_likelihood(direction):
    flow = small((3,), log_det="roulette", lipschitz=0.8, direction=direction)
    x, rows = torch.randn(100, 3, dtype=torch.float64), torch.arange(100)
    exact = flow(x).mean().detach()
    flow.train()
    draws = []
    for step in range(150):
        flow.key_noise(1, step, rows)
        with torch.no_grad():
            draws.append(flow(x).mean())
    draws = torch.stack(draws)
    error = float(draws.std()) / math.sqrt(len(draws))
    assert abs(float(draws.mean() - exact)) < 4.5 * error
    assert error < 0.05


def test_sampling_pays_for_no_log_det(monkeypatch):
    flow = small(IMAGE)
    calls = []
    for block in flow.blocks():
        original = block._log_det
        monkeypatch.setattr(
            block, "_log_det", lambda *given, f=original: calls.append(1) or f(*given)
        )
    flow.sample(3)
    flow.rsample(3)
    assert calls == []
    flow.sample_and_log_prob(3)
    assert len(calls) == len(list(flow.blocks()))


@pytest.mark.parametrize("direction", ["density", "generative"])
def test_rsample_carries_the_gradient_of_the_fixed_point(direction):
    flow = small((2,), direction=direction)
    # ActNorm's scale and a branch's bias: their derivatives by finite differences.
    for parameter in (flow.flow.layers[0].loc, next(flow.blocks()).branch.layers[0].bias):

        def mean_square(shift: float, parameter=parameter) -> torch.Tensor:
            with torch.no_grad():
                parameter[0] += shift
            drawn = flow.rsample(50, generator=torch.Generator().manual_seed(3)).square().mean()
            with torch.no_grad():
                parameter[0] -= shift
            return drawn

        (gradient,) = torch.autograd.grad(mean_square(0.0), parameter)
        numeric = (mean_square(1e-5) - mean_square(-1e-5)).detach() / 2e-5
        torch.testing.assert_close(gradient[0], numeric, rtol=1e-6, atol=1e-8)
        assert abs(float(numeric)) > 1e-4


def test_evaluation_is_deterministic_also_where_it_estimates():
    flow = small((2, 12, 12), levels=1, depth=1)
    assert flow.log_det_label == "estimate"
    x = torch.randn(4, 2, 12, 12, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(flow(x), flow(x), rtol=0, atol=0)


def test_saved_and_loaded_flows_give_the_same_numbers():
    flow, other = small(IMAGE), small(IMAGE, seed=9)
    x = torch.randn(4, *IMAGE, dtype=torch.float64)
    other.load_state_dict(flow.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(other(x), flow(x), rtol=0, atol=0)
        z = torch.randn(4, flow.dim, dtype=torch.float64)
        torch.testing.assert_close(other.decode_map(z), flow.decode_map(z), rtol=0, atol=0)


def test_bfloat16_autocast_keeps_likelihoods_in_float32():
    flow = small(IMAGE).float()
    x = torch.randn(4, *IMAGE)
    expected = flow(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = flow(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("direction", ["density", "generative"])
@pytest.mark.parametrize("shape", [(3,), IMAGE], ids=str)
def test_lipschitz_report_brackets_the_constant(shape, direction):
    flow = small(shape, direction=direction)
    x = torch.randn(50, *shape, dtype=torch.float64)
    report = flow.lipschitz_report(x)
    assert report["declared"] == pytest.approx(0.9)
    assert report["per_layer"] == pytest.approx(0.9 ** (1 / 3))
    assert report["certified_share"] == 1.0
    assert 0.05 < report["measured"] <= report["certified"] <= 0.9 * (1 + 1e-3)
    # Measured where the branches stand: the largest stretch of the first one, by autograd.
    if direction == "density" and len(shape) == 1:
        block = next(flow.blocks())
        at = flow.flow.layers[0].encode_map(x)
        norms = [
            torch.linalg.matrix_norm(
                torch.autograd.functional.jacobian(lambda t: block.branch(t[None])[0], point), ord=2
            )
            for point in at
        ]
        assert max(norms) <= report["measured"] * (1 + 1e-6)
        assert float(block.measured_lipschitz(at).max()) == pytest.approx(
            float(max(norms)), rel=1e-3
        )


def test_report_certifies_nothing_that_is_stale():
    flow = small((3,))
    with torch.no_grad():
        for block in flow.blocks():
            for parameter in block.branch.parameters():
                parameter.add_(20 * torch.randn_like(parameter))
    assert flow.lipschitz_report(torch.randn(5, 3).double())["certified_share"] == 0.0
    flow.eval()
    assert flow.lipschitz_report(torch.randn(5, 3).double())["certified_share"] == 1.0


def test_generative_direction_inverts_the_blocks_only():
    flow = small((2,), direction="generative", depth=3)
    assert sum(isinstance(layer, Inverse) for layer in flow.flow.sequence) == 3
    assert all(not isinstance(layer, Inverse) for layer in flow.flow.sequence[::2])


def test_no_norm_passes_its_bound_while_training():
    torch.manual_seed(0)
    flow = Residual((2,), depth=3, hidden=(64, 64), lipschitz=0.97).train()
    optimiser = torch.optim.Adam(flow.parameters(), lr=4e-3)
    layers = [module for module in flow.modules() if isinstance(module, SpectralLayer)]
    largest = 0.0
    for step in range(200):
        angle = torch.randint(8, (256,)) * torch.pi / 4
        x = 2.8 * torch.stack((angle.cos(), angle.sin()), 1) + 0.35 * torch.randn(256, 2)
        if step == 0:
            flow.initialise(x)
        optimiser.zero_grad()
        (-flow.log_prob(x).mean()).backward()
        optimiser.step()
        flow.after_step()
        # The true norms, by singular values: several lead in turn while weights move.
        norms = [torch.linalg.matrix_norm(la.bounded_weight().detach(), 2) for la in layers]
        over = max(float(n) / la.lipschitz for n, la in zip(norms, layers, strict=True))
        largest = max(largest, over)
    assert 0.999 < largest < 1.005
