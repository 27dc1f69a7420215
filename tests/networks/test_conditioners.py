"""Conditioner networks: their context, their start, their shape."""

import pytest
import torch
from torch import nn

from flowbench.errors import InputError
from flowbench.networks.conv import ConvNet
from flowbench.networks.mlp import MLP
from flowbench.networks.resnet import ResidualConvNet, ResidualMLP

CASES = [
    (MLP, (5,), (8, 6)),
    (ConvNet, (5, 3, 4), (8, 6)),
    (ConvNet, (5, 3, 4), ()),
    (ResidualMLP, (5,), (8, 8)),
    (ResidualConvNet, (5, 3, 4), (8, 8, 8)),
]
every = pytest.mark.parametrize(("network", "shape", "hidden"), CASES)


@every
def test_the_context_acts_as_further_inputs_of_the_first_layer(network, shape, hidden):
    torch.manual_seed(0)
    with_context = network(5, 2, hidden, context_size=3)
    whole = network(8, 2, hidden)
    x, context = torch.randn(4, *shape), torch.randn(4, 3)
    with torch.no_grad():
        whole.load_state_dict(
            {
                k: v
                for k, v in with_context.state_dict().items()
                if "first.w" not in k and "context" not in k
            },
            strict=False,
        )
        weight = whole.first.weight
        weight.zero_()
        weight[:, :5] = with_context.first.weight
        if weight.dim() == 2:
            weight[:, 5:] = with_context.context.weight
        else:
            weight[:, 5:, 1, 1] = with_context.context.weight
        wide = context.reshape(4, 3, *(1 for _ in shape[1:])).expand(4, 3, *shape[1:])
        torch.testing.assert_close(with_context(x, context), whole(torch.cat((x, wide), 1)))


@every
def test_a_last_scale_of_zero_starts_at_zero_and_trains(network, shape, hidden):
    torch.manual_seed(0)
    built = network(5, 2, hidden, context_size=3, last_scale=0.0)
    x, context = torch.randn(4, *shape), torch.randn(4, 3)
    out = built(x, context)
    assert not out.any()
    assert out.shape == (4, 2, *shape[1:])
    (out - 1).square().sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in built.parameters())


def test_convolutions_are_3x3_then_1x1_then_3x3():
    sizes = {
        hidden: [
            m.kernel_size[0] for m in ConvNet(2, 4, hidden).modules() if isinstance(m, nn.Conv2d)
        ]
        for hidden in ((), (8,), (8, 8), (8, 8, 8))
    }
    assert sizes == {(): [3], (8,): [3, 3], (8, 8): [3, 1, 3], (8, 8, 8): [3, 1, 1, 3]}


@pytest.mark.parametrize(
    ("network", "shape"),
    [(MLP, (5,)), (ConvNet, (5, 3, 4)), (ResidualMLP, (5,)), (ResidualConvNet, (5, 3, 4))],
)
def test_dropout_drops_in_training_alone(network, shape):
    torch.manual_seed(0)
    built, x = network(5, 2, (64, 64), dropout=0.5), torch.randn(4, *shape)
    assert not torch.equal(built(x), built(x))
    built.eval()
    assert torch.equal(built(x), built(x))


def test_a_residual_network_is_its_blocks_added_up():
    torch.manual_seed(0)
    net, x = ResidualMLP(3, 2, (4, 4)).double(), torch.randn(5, 3, dtype=torch.float64)
    h = net.first(x)
    passed = net.passes[0](h)
    for block, passes in zip(net.blocks, net.passes[1:], strict=True):
        _, inner, _, outer = block
        h = h + outer(inner(h.relu()).relu())
        passed = passed + passes(h)
    torch.testing.assert_close(net(x), net.last[1](passed.relu()))


def test_residual_blocks_of_two_widths_are_refused():
    with pytest.raises(InputError, match=r"hidden = \[8, 6\]: the blocks of a residual network"):
        ResidualMLP(3, 2, (8, 6))
