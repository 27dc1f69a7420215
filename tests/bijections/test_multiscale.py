"""Squeeze, flatten, and the multi-scale skeleton's bookkeeping, against index formulas."""

import pytest
import torch

from flowbench.bijections.compose import Compose
from flowbench.bijections.diagonal import Diagonal
from flowbench.bijections.multiscale import Multiscale, most_levels
from flowbench.bijections.reshape import Flatten
from flowbench.bijections.squeeze import Squeeze
from flowbench.errors import InputError


def test_squeeze_orders_channels_by_the_phase_of_the_pixel():
    channels, height, width = 3, 4, 6
    x = torch.randn(2, channels, height, width)
    z = Squeeze((channels, height, width)).encode_map(x)
    assert z.shape == (2, 12, 2, 3)
    for phase in range(4):
        for c in range(channels):
            for i in range(height // 2):
                for j in range(width // 2):
                    expected = x[:, c, 2 * i + phase // 2, 2 * j + phase % 2]
                    assert torch.equal(z[:, phase * channels + c, i, j], expected)


def test_squeeze_refuses_odd_sides():
    with pytest.raises(InputError, match="must be even"):
        Squeeze((1, 4, 5))


def test_flatten_is_row_by_row():
    x = torch.randn(2, 3, 2, 4)
    layer = Flatten((3, 2, 4))
    assert torch.equal(layer.encode_map(x), x.flatten(1))
    assert torch.equal(layer.decode_map(x.flatten(1)), x)


@pytest.mark.parametrize(
    ("shape", "levels"),
    [((1, 28, 28), 2), ((3, 32, 32), 5), ((1, 8, 8), 3), ((1, 5, 4), 0), ((2, 6, 4), 1)],
)
def test_levels_are_halvings_of_both_sides(shape, levels):
    assert most_levels(shape) == levels


def nothing(shape, level):
    return []


def test_latents_are_what_leaves_after_each_level_in_order():
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    z = Multiscale((1, 8, 8), 3, nothing).encode(x)[0]
    first = Squeeze((1, 8, 8)).encode_map(x)
    second = Squeeze((2, 4, 4)).encode_map(first[:, :2])
    third = Squeeze((4, 2, 2)).encode_map(second[:, :4])
    expected = torch.cat((first[:, 2:].flatten(1), second[:, 4:].flatten(1), third.flatten(1)), 1)
    assert torch.equal(z, expected)


@pytest.mark.parametrize("levels", [1, 2, 3, None])
def test_each_level_counts_its_own_log_det_and_sees_its_own_shape(levels):
    seen: list[tuple[int, tuple[int, ...]]] = []

    def steps(shape, level):
        seen.append((level, shape))
        layer = Diagonal(*shape)
        with torch.no_grad():
            layer.log_scale.fill_(10.0**level)
        return [layer]

    tops: list[tuple[tuple[int, ...], bool]] = []

    def top(shape, last):
        tops.append((shape, last))
        return Diagonal(*shape)

    skeleton = Multiscale((1, 8, 8), levels, steps, top)
    count = levels or 3
    shapes = [(4, 4, 4), (8, 2, 2), (16, 1, 1)][:count]
    assert seen == list(enumerate(shapes))
    assert tops == [(shape, i == count - 1) for i, shape in enumerate(shapes)]
    sizes = [64, 32, 16][:count]
    log_det = skeleton.encode(torch.zeros(2, 1, 8, 8))[1]
    expected = float(sum(10.0**i * size for i, size in enumerate(sizes)))
    torch.testing.assert_close(log_det, torch.full((2,), expected))


def test_an_odd_image_has_one_level_without_a_squeeze():
    shapes = []
    skeleton = Multiscale((3, 5, 4), None, lambda shape, level: shapes.append(shape) or [])
    assert shapes == [(3, 5, 4)]
    x = torch.randn(2, 3, 5, 4)
    assert torch.equal(skeleton.encode(x)[0], x.flatten(1))
    assert torch.equal(skeleton.decode(x.flatten(1))[0], x)


@pytest.mark.parametrize(("shape", "levels", "most"), [((1, 8, 8), 4, 3), ((1, 5, 5), 2, 1)])
def test_more_levels_than_the_size_allows_are_refused(shape, levels, most):
    with pytest.raises(InputError, match=f"levels = {levels}.*allowed: 1 to {most}"):
        Multiscale(shape, levels, nothing)


def test_initialising_hands_each_level_what_the_one_before_leaves():
    received = []

    class Recording(Compose):
        def initialise(self, x, context=None):
            received.append(x)

    skeleton = Multiscale((1, 4, 4), 2, lambda shape, level: [Recording([])])
    x = torch.randn(2, 1, 4, 4)
    skeleton.initialise(x)
    squeezed = Squeeze((1, 4, 4)).encode_map(x)
    assert torch.equal(received[0], squeezed)
    assert torch.equal(received[1], Squeeze((2, 2, 2)).encode_map(squeezed[:, :2]))


def test_a_first_level_that_is_not_squeezed_sees_the_image_and_adds_a_level():
    seen = []
    skeleton = Multiscale(
        (1, 4, 4), None, lambda shape, level: seen.append(shape) or [], squeeze_first=False
    )
    # One channel has no half: nothing leaves after the first level.
    assert seen == [(1, 4, 4), (4, 2, 2), (8, 1, 1)]
    assert skeleton.out_shapes == [(0, 4, 4), (2, 2, 2), (8, 1, 1)]
    with pytest.raises(InputError, match="can be halved 2 times; allowed: 1 to 3"):
        Multiscale((1, 4, 4), 4, nothing, squeeze_first=False)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("squeeze_first", [True, False])
@pytest.mark.parametrize("factor_out", [True, False])
def test_without_steps_a_skeleton_only_orders_the_pixels(channels, squeeze_first, factor_out):
    skeleton = Multiscale(
        (channels, 8, 8), 2, nothing, squeeze_first=squeeze_first, factor_out=factor_out
    )
    x = torch.arange(2.0 * channels * 64).reshape(2, channels, 8, 8)
    z, log_det = skeleton.encode(x)
    assert z.shape == (2, channels * 64)
    assert not log_det.any()
    assert torch.equal(z.sort(1).values, x.flatten(1))
    for decoded in (skeleton.decode(z)[0], skeleton.decode_map(skeleton.encode_map(x))):
        assert torch.equal(decoded, x)


def test_where_nothing_is_factored_out_all_levels_see_all_of_the_image():
    seen = []
    skeleton = Multiscale(
        (3, 8, 8),
        3,
        lambda shape, level: seen.append(shape) or [],
        squeeze_first=False,
        factor_out=False,
    )
    assert seen == [(3, 8, 8), (12, 4, 4), (48, 2, 2)]
    x = torch.randn(2, 3, 8, 8)
    twice = Squeeze((12, 4, 4)).encode_map(Squeeze((3, 8, 8)).encode_map(x))
    assert torch.equal(skeleton.encode_map(x), twice.flatten(1))
