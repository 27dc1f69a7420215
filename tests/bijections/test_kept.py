"""What is made of parameters once is made again when they change."""

from copy import deepcopy

import torch

from flowbench.bijections.linear import LULinear


def test_a_copy_of_a_layer_does_not_take_its_changed_parameters_for_the_old_ones():
    layer = LULinear((3,)).double().eval()
    x = torch.randn(5, 3, dtype=torch.float64)
    with torch.no_grad():
        layer.log_scale.add_(0.1)
        layer.encode(x)
        copied = deepcopy(layer)
        copied.log_scale.add_(0.1)
        z, log_det = copied.encode(x)
        weight = copied.weight()
    torch.testing.assert_close(z, x @ weight.T)
    torch.testing.assert_close(log_det[0], torch.linalg.slogdet(weight)[1])
