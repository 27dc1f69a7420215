"""Linear maps: the textbook's examples, factors, precision, and what happens to singular ones."""

from math import log

import pytest
import torch
from torch.distributions import Independent, TransformedDistribution, Uniform
from torch.nn.functional import conv2d

from flowbench.bijections.compose import Compose
from flowbench.bijections.diagonal import Diagonal
from flowbench.bijections.inverse import Inverse
from flowbench.bijections.linear import LULinear, PlainLinear
from flowbench.bijections.permutation import Permutation, reversed_order, shuffled_order
from flowbench.errors import NotInvertible
from flowbench.families.bases import NormalBase
from flowbench.families.flow import Flow

BOTH = [PlainLinear, LULinear]


def with_matrix(rows: list[list[float]], event_shape: tuple[int, ...] | None = None) -> PlainLinear:
    layer = PlainLinear(event_shape or (len(rows),)).double()
    with torch.no_grad():
        layer.matrix.copy_(torch.tensor(rows))
    return layer


def test_the_map_z1_plus_z2_and_2_z1_and_its_inverses_jacobian():
    generator = Inverse(with_matrix([[1, 1], [2, 0]]))
    z = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    x, log_det = generator.decode(z)
    assert x.tolist() == [[7.0, 6.0]]
    assert log_det.item() == pytest.approx(log(2))  # |det [[1, 1], [2, 0]]| = 2
    jacobian = torch.autograd.functional.jacobian(lambda t: generator.encode(t[None])[0][0], x[0])
    expected = torch.tensor([[0.0, 0.5], [1.0, -0.5]], dtype=torch.float64)
    torch.testing.assert_close(jacobian, expected)
    back, back_log_det = generator.encode(x)
    torch.testing.assert_close(back, z)
    assert back_log_det.item() == pytest.approx(-log(2))


def test_twice_a_uniform_plus_one_has_half_the_density_on_twice_the_width():
    layer = Diagonal(1)
    with torch.no_grad():
        layer.log_scale.fill_(log(2))
        layer.shift.fill_(1.0)
    uniform = Independent(Uniform(torch.zeros(1), torch.ones(1), validate_args=False), 1)
    x = TransformedDistribution(uniform, [Inverse(layer).transform()], validate_args=False)
    torch.manual_seed(0)
    drawn = x.sample((1000,))
    assert 1 <= drawn.min() < 1.05
    assert 2.95 < drawn.max() <= 3
    points = torch.tensor([[1.5], [2.9], [0.9], [3.1]])
    torch.testing.assert_close(x.log_prob(points).exp(), torch.tensor([0.5, 0.5, 0.0, 0.0]))


def test_twice_the_identity_has_determinant_four_in_the_plane():
    z, log_det = with_matrix([[2, 0], [0, 2]]).encode(torch.ones(3, 2).double())
    assert z.tolist() == [[2.0, 2.0]] * 3
    torch.testing.assert_close(log_det, torch.full((3,), log(4)).double())


@pytest.mark.parametrize("make", ["permutation", "convolution"])
def test_the_1x1_convolution_that_shuffles_1_2_3_to_3_1_2(make):
    image = torch.tensor([1.0, 2.0, 3.0]).double()[None, :, None, None].expand(1, 3, 2, 2)
    if make == "permutation":
        layer = Permutation(torch.tensor([2, 0, 1]))
    else:
        layer = with_matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]], (3, 2, 2))
    z, log_det = layer.encode(image)
    assert z[0, :, 1, 0].tolist() == [3.0, 1.0, 2.0]
    assert log_det.abs().item() < 1e-12
    assert torch.equal(layer.decode(z)[0], image)


@pytest.mark.parametrize("kind", BOTH)
def test_on_images_it_is_a_convolution_whose_log_det_counts_every_pixel(kind):
    torch.manual_seed(0)
    layer = kind((3, 4, 5)).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    x = torch.randn(2, 3, 4, 5).double()
    z, log_det = layer.encode(x)
    torch.testing.assert_close(z, conv2d(x, layer.weight()[:, :, None, None]))
    expected = 20 * torch.linalg.slogdet(layer.weight())[1]
    torch.testing.assert_close(log_det, expected.expand(2))


@pytest.mark.parametrize("kind", BOTH)
def test_it_starts_as_a_rotation(kind):
    torch.manual_seed(0)
    weight = kind((6,)).weight()
    torch.testing.assert_close(weight @ weight.T, torch.eye(6), rtol=0, atol=1e-5)


def test_lu_factors_multiply_to_the_weight_and_their_signs_are_not_learned():
    torch.manual_seed(0)
    layer = LULinear((5,)).double()
    lower, upper = layer.factors()
    torch.testing.assert_close(layer.weight(), torch.eye(5).double()[layer.rows] @ lower @ upper)
    assert {"rows", "sign"} <= set(layer.state_dict())
    assert {name for name, _ in layer.named_parameters()} == {"lower", "upper", "log_scale"}
    with torch.no_grad():
        layer.log_scale.sub_(30)  # far beyond where a raw diagonal would have crossed zero
    x = torch.randn(3, 5).double()
    z, log_det = layer.encode(x)
    torch.testing.assert_close(log_det, layer.log_scale.sum().expand(3))
    back = layer.decode(z)[0]
    assert back.isfinite().all()


@pytest.mark.parametrize("kind", BOTH)
def test_an_ill_conditioned_float32_map_inverts_as_well_as_its_condition_allows(kind):
    torch.manual_seed(0)
    layer = kind((32,)).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
        x = torch.randn(200, 32)
        condition = float(torch.linalg.cond(layer.weight().double()))
        back = layer.decode(layer.encode(x)[0])[0]
        exact = torch.linalg.inv(layer.weight().double()).float()
        in_double = layer.encode(x)[0] @ exact.T
    assert condition > 50
    error, best = (back - x).abs().max(), (in_double - x).abs().max()
    assert error < 5 * best
    assert error < 100 * torch.finfo(torch.float32).eps * condition


def test_log_dets_of_many_channels_do_not_overflow():
    layer = PlainLinear((200,))
    with torch.no_grad():
        layer.matrix.mul_(1e-3)
    log_det = layer.encode(torch.zeros(1, 200))[1]
    assert log_det.item() == pytest.approx(200 * log(1e-3), rel=1e-5)


@pytest.mark.parametrize("direction", ["encode", "decode"])
@pytest.mark.parametrize("training", [True, False])
def test_a_singular_matrix_is_an_error_that_names_the_layer(direction, training):
    layer = with_matrix([[1, 2], [2, 4]])
    flow = Flow((2,), Compose([Diagonal(2), layer]), NormalBase(2)).double().train(training)
    with pytest.raises(NotInvertible, match=r"layer flow\.layers\.1: its 2 x 2 matrix is singular"):
        getattr(flow, direction)(torch.ones(3, 2).double())


@pytest.mark.parametrize("kind", BOTH)
def test_what_was_computed_once_is_computed_again_when_the_parameters_change(kind):
    torch.manual_seed(0)
    layer = kind((4,)).double().eval()
    x = torch.randn(3, 4).double()

    def agrees() -> None:
        with torch.no_grad():
            z, log_det = layer.encode(x)
            weight = layer.weight()
            assert z.dtype == weight.dtype
            torch.testing.assert_close(z, x @ weight.T)
            expected = torch.linalg.slogdet(weight)[1]
            torch.testing.assert_close(log_det[0], expected)
            torch.testing.assert_close(layer.decode(z)[0], x, rtol=0, atol=1e-4)

    agrees()
    with torch.no_grad():
        next(layer.parameters()).add_(0.3)
    agrees()
    for optimiser in (torch.optim.Adam, torch.optim.SGD):
        for options in ({"foreach": True}, {"fused": True}, {"foreach": False}):
            step = optimiser(layer.parameters(), lr=0.1, **options)
            layer.encode(x)[0].pow(2).sum().backward()
            step.step()
            agrees()
    other = kind((4,)).double()
    layer.load_state_dict(other.state_dict())
    agrees()
    layer.float()
    x = x.float()
    agrees()
    with torch.inference_mode():
        layer.encode(x)
    agrees()
    # Gradients never flow into what was computed without them.
    layer.encode(x)[0].sum().backward()
    layer.decode(x)[0].sum().backward()


@pytest.mark.parametrize("kind", BOTH)
def test_in_eval_mode_factors_are_formed_once(kind, monkeypatch):
    layer, x = kind((4,)).eval(), torch.randn(3, 4)
    calls = []
    inverse_weight = layer.inverse_weight
    monkeypatch.setattr(layer, "inverse_weight", lambda: calls.append(1) or inverse_weight())
    with torch.no_grad():
        first = layer.decode(x)[0]
        assert torch.equal(layer.decode(x)[0], first)
    assert len(calls) == 1
    layer.train()
    layer.decode(x)
    layer.decode(x)
    assert len(calls) == 3


def test_permutations_are_whole_repeatable_and_undone():
    order = shuffled_order(50, 3)
    assert torch.equal(order, shuffled_order(50, 3))
    assert not torch.equal(order, shuffled_order(50, 4))
    assert torch.equal(order.sort().values, torch.arange(50))
    assert reversed_order(3).tolist() == [2, 1, 0]
    layer, x = Permutation(order), torch.randn(4, 50)
    assert torch.equal(layer.decode(layer.encode(x)[0])[0], x)
    loaded = Permutation(reversed_order(50))
    loaded.load_state_dict(layer.state_dict())
    assert torch.equal(loaded.encode(x)[0], layer.encode(x)[0])
