"""What every layer of the coupling families owes, at parameters away from their start."""

import pytest
import torch
from layers import LAYERS, events, full_jacobians, layer
from torch.distributions import Independent, Normal, TransformedDistribution

from flowbench.errors import InputError

every_layer = pytest.mark.parametrize("name", LAYERS)


@every_layer
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_log_dets_match_autograd_in_both_directions_and_decode_inverts(name, scale):
    bijection, x = layer(name, scale), events(name)
    z, log_det = bijection.encode(x)
    jacobian = full_jacobians(bijection.encode_map, x)
    inverse_jacobian = full_jacobians(bijection.decode_map, z)
    condition = float(torch.linalg.cond(jacobian).max())
    assert condition < 1e6
    torch.testing.assert_close(log_det, torch.linalg.slogdet(jacobian)[1], rtol=0, atol=1e-9)

    back, back_log_det = bijection.decode(z)
    round_off = 100 * torch.finfo(torch.float64).eps * condition * max(1.0, float(x.abs().max()))
    assert float((back - x).detach().abs().max()) <= round_off
    torch.testing.assert_close(back_log_det, -log_det, rtol=0, atol=1e-9)
    identity = torch.eye(jacobian.shape[1], dtype=torch.float64).expand_as(jacobian)
    torch.testing.assert_close(inverse_jacobian @ jacobian, identity, rtol=0, atol=1e-8)


@every_layer
def test_the_map_alone_is_the_map_with_its_log_det(name):
    bijection, x = layer(name), events(name)
    z = bijection.encode(x)[0]
    assert torch.equal(bijection.encode_map(x), z)
    assert torch.equal(bijection.decode_map(z), bijection.decode(z)[0])


@every_layer
def test_perturbed_layers_are_not_the_identity(name):
    x = events(name)
    z = layer(name).encode(x)[0]
    assert z.shape != x.shape or not torch.allclose(z, x, atol=1e-3)


@every_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_inputs_are_preserved_and_no_rows_give_no_rows(name, dtype):
    bijection, x = layer(name).to(dtype), events(name).to(dtype)
    given = x.clone()
    z, log_det = bijection.encode(x)
    latent = z.detach().clone()
    back, back_log_det = bijection.decode(z)
    assert {z.dtype, log_det.dtype, back.dtype, back_log_det.dtype} == {dtype}
    assert log_det.shape == back_log_det.shape == (len(x),)
    assert torch.equal(x, given)
    assert torch.equal(z, latent)
    assert bijection.encode(x[:0])[1].shape == (0,)


@every_layer
def test_rows_do_not_touch_each_other(name):
    bijection, x = layer(name), events(name)
    z, log_det = bijection.encode(x)
    one_z, one_log_det = bijection.encode(x[2:3])
    torch.testing.assert_close(one_z, z[2:3], rtol=0, atol=1e-12)
    torch.testing.assert_close(one_log_det, log_det[2:3], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in LAYERS if list(layer(name).parameters())])
def test_every_parameter_gets_a_gradient_from_the_likelihood(name):
    bijection, x = layer(name).train(), events(name, 16)
    z, log_det = bijection.encode(x)
    (log_det - 0.5 * z.flatten(1).square().sum(1)).sum().backward()
    for key, parameter in bijection.named_parameters():
        assert parameter.grad is not None, key
        # Of a triangular factor, half is not used.
        assert parameter.grad.any() or key.endswith(("lower", "upper")), key


# A Transform has one event shape, so a layer that changes it is left out.
@pytest.mark.parametrize(
    "name",
    [name for name in LAYERS if layer(name).encode_map(events(name)).shape == events(name).shape],
)
def test_the_transform_view_gives_the_density_of_the_decoded_base(name):
    bijection, x = layer(name), events(name)
    z, log_det = bijection.encode(x)
    dims = x.dim() - 1
    base = Independent(
        Normal(torch.zeros(x.shape[1:]).double(), torch.ones(x.shape[1:]).double()), dims
    )
    distribution = TransformedDistribution(base, [bijection.transform(dims)])
    expected = base.log_prob(z) + log_det
    torch.testing.assert_close(distribution.log_prob(x), expected, rtol=0, atol=1e-10)
    drawn = distribution.rsample((3,))
    torch.testing.assert_close(
        distribution.log_prob(drawn),
        base.log_prob(bijection.encode(drawn)[0]) + bijection.encode(drawn)[1],
        rtol=0,
        atol=1e-10,
    )


@every_layer
def test_a_layer_without_a_context_refuses_one_by_name(name):
    bijection, x = layer(name), events(name)
    with pytest.raises(InputError, match="takes no context"):
        bijection.encode(x, torch.zeros(len(x), 2).double())
    with pytest.raises(InputError, match="takes no context"):
        bijection.decode(bijection.encode(x)[0], torch.zeros(len(x), 2).double())


def test_maps_that_flip_orientation_have_real_log_dets():
    for name in ("plain-linear", "lu-linear"):
        for seed in range(8):
            torch.manual_seed(seed)
            bijection = LAYERS[name][0]((3,)).double()
            x = torch.randn(2, 3, dtype=torch.float64)
            sign, expected = torch.linalg.slogdet(full_jacobians(bijection.encode_map, x))
            torch.testing.assert_close(bijection.encode(x)[1], expected)
            if (sign < 0).all():
                break
        else:
            pytest.fail(f"{name}: no start flips orientation")
