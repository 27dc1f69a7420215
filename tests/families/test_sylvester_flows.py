"""Sylvester flows as a family: variants, bottlenecks and directions."""

import pytest
import torch

from flowbench.errors import InputError
from flowbench.families.sylvester import Sylvester

VARIANTS = ["orthogonal", "householder", "triangular", "general"]


def strong(event_shape, seed: int = 0, **hyperparameters) -> Sylvester:
    """Return a flow away from its start, in float64 and eval mode."""
    torch.manual_seed(seed)
    flow = Sylvester(event_shape, **{"depth": 3} | hyperparameters).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            spread = parameter.abs().mean().clamp(min=0.02)
            parameter.add_(0.5 * spread * torch.randn_like(parameter))
    return flow.eval()


@pytest.mark.parametrize("shape", [(1,), (4,), (1, 2, 3)], ids=str)
@pytest.mark.parametrize("direction", ["density", "generative"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_log_dets_match_autograd_and_both_directions_cancel(variant, direction, shape):
    flow = strong(shape, variant=variant, direction=direction)
    x = 2 * torch.randn(3, *shape, dtype=torch.float64)
    z, log_det = flow.encode(x)
    for point, found in zip(x, log_det, strict=True):
        J = torch.autograd.functional.jacobian(lambda t: flow.encode(t[None])[0][0], point)
        expected = torch.linalg.slogdet(J.reshape(flow.dim, flow.dim))[1]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)
    back, back_log_det = flow.decode(z)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-9)
    torch.testing.assert_close(back_log_det, -log_det, rtol=0, atol=1e-8)


def test_bottleneck_defaults_to_the_dimension_up_to_32():
    assert strong((5,)).flow.layers[1].bottleneck == 5
    assert strong((40,), depth=1).flow.layers[1].bottleneck == 32
    assert strong((40,), depth=1, bottleneck=3).flow.layers[1].bottleneck == 3
    assert strong((40,), depth=1, variant="triangular").flow.layers[1].bottleneck == 40


def test_householder_has_few_reflections_and_orthogonal_as_many_as_units():
    assert strong((40,), depth=1, variant="householder").flow.layers[1].vectors.shape == (8, 40)
    assert strong((40,), depth=1, bottleneck=10).flow.layers[1].vectors.shape == (10, 40)


def test_a_bottleneck_that_does_not_fit_is_refused_in_a_sentence():
    with pytest.raises(InputError, match="bottleneck = 6: allowed: 1 to 5, the dimension"):
        Sylvester((5,), bottleneck=6)
    with pytest.raises(InputError, match="bottleneck = 3: variant triangular allows 5 only"):
        Sylvester((5,), bottleneck=3, variant="triangular")


@pytest.mark.parametrize("variant", VARIANTS)
def test_rsample_carries_the_gradient_of_the_inverse(variant):
    flow = strong((3,), variant=variant)
    parameter = flow.flow.layers[1].b

    def mean_square(shift: float) -> torch.Tensor:
        with torch.no_grad():
            parameter[0] += shift
        drawn = flow.rsample(50, generator=torch.Generator().manual_seed(3)).square().mean()
        with torch.no_grad():
            parameter[0] -= shift
        return drawn

    (gradient,) = torch.autograd.grad(mean_square(0.0), parameter)
    numeric = (mean_square(1e-5) - mean_square(-1e-5)).detach() / 2e-5
    torch.testing.assert_close(gradient[0], numeric, rtol=1e-5, atol=1e-8)
    assert abs(float(numeric)) > 1e-5
