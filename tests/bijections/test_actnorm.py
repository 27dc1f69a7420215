"""Actnorm takes its statistics once, in training, and keeps them."""

import pytest
import torch

from flowbench.bijections.actnorm import STD_FLOOR, ActNorm

SHAPES = [(3,), (3, 4, 5)]


def batch(shape: tuple[int, ...], n: int = 64) -> torch.Tensor:
    torch.manual_seed(0)
    spread = torch.tensor([0.5, 2.0, 30.0]).reshape(3, *(1 for _ in shape[1:]))
    return torch.randn(n, *shape) * spread + 100 * spread


@pytest.mark.parametrize("shape", SHAPES)
def test_the_first_batch_comes_out_with_mean_zero_and_deviation_one(shape):
    layer, x = ActNorm(shape), batch(shape)
    layer.initialise(x)
    z = layer.encode_map(x).transpose(0, 1).flatten(1)
    torch.testing.assert_close(z.mean(1), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(z.std(1, correction=0), torch.ones(3), rtol=1e-4, atol=0)


def test_it_initialises_once():
    layer = ActNorm((3,))
    layer.initialise(batch((3,)))
    before = layer.loc.clone()
    layer.initialise(batch((3,)) + 5)
    assert torch.equal(layer.loc, before)


def test_it_does_not_initialise_in_eval_mode():
    layer = ActNorm((3,)).eval()
    layer.initialise(batch((3,)))
    assert not layer.initialised
    assert not layer.loc.any()


def test_encode_and_decode_alone_never_initialise():
    layer, x = ActNorm((3,)), batch((3,))
    layer.decode(layer.encode(x)[0])
    assert not layer.initialised


def test_a_loaded_layer_keeps_what_it_has():
    trained = ActNorm((3,))
    trained.initialise(batch((3,)))
    loaded = ActNorm((3,))
    loaded.load_state_dict(trained.state_dict())
    loaded.initialise(batch((3,)) + 5)
    assert torch.equal(loaded.loc, trained.loc)


@pytest.mark.parametrize("n", [1, 64])
def test_one_row_or_a_constant_feature_is_stretched_no_more_than_ten_times(n):
    layer = ActNorm((3,))
    x = batch((3,), n)
    x[:, 0] = 7.0
    layer.initialise(x)
    z = layer.encode_map(x)
    assert z.isfinite().all()
    torch.testing.assert_close(z[:, 0], torch.zeros(n))
    assert layer.log_scale[0].exp().item() == pytest.approx(STD_FLOOR)


def test_it_trains_on_after_it_has_initialised():
    layer, x = ActNorm((3,)), batch((3,))
    layer.initialise(x)
    z, log_det = layer.encode(x)
    (0.5 * z.pow(4).sum(1) - log_det).mean().backward()
    assert layer.loc.grad.any()
    assert layer.log_scale.grad.any()
