"""How parameters are moved before a check."""

import pytest
import torch

from flowbench.bijections.linear import LULinear, PlainLinear
from flowbench.conformance.perturb import SCALES, perturb
from flowbench.families.registry import FAMILIES, create


@pytest.mark.parametrize("name", FAMILIES)
def test_every_parameter_is_moved(name):
    torch.manual_seed(0)
    flow = create(name, (3,), depth=2)
    before = {key: value.clone() for key, value in flow.named_parameters()}
    perturb(flow, 0.5)
    still = [key for key, value in flow.named_parameters() if torch.equal(value, before[key])]
    assert still == []


def test_what_is_not_trained_stays_and_what_is_empty_does_no_harm():
    module = torch.nn.Module()
    module.order = torch.nn.Parameter(torch.eye(3), requires_grad=False)
    module.nothing = torch.nn.Parameter(torch.empty(0))
    module.weight = torch.nn.Parameter(torch.zeros(3))
    perturb(module, 1.0)
    assert torch.equal(module.order, torch.eye(3))
    assert module.weight.all()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("layer", [PlainLinear, LULinear])
def test_linear_maps_are_turned_and_stay_well_conditioned(layer, scale):
    torch.manual_seed(0)
    linear = layer((6,)).double()
    with torch.no_grad():
        before = linear.weight().clone()
        perturb(linear, scale)
        after = linear.weight()
        assert float(torch.linalg.cond(after)) < 1e3
        assert float((after - before).norm()) > 0.1 * float(before.norm())
        # What the layer says of its own matrix follows.
        torch.testing.assert_close(linear.inverse_weight() @ after, torch.eye(6).double())
        torch.testing.assert_close(linear.weight_log_det(), torch.linalg.slogdet(after)[1])
