import torch
from torch import nn

from flowbench.training.ema import WeightAverage


def _trained(decay, steps):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).double()
    average = WeightAverage(module, decay)
    seen = []
    for _ in range(steps):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.randn_like(parameter))
        module(torch.randn(4, 2, dtype=torch.float64))
        average.update()
        seen.append(module[0].weight.detach().clone())
    return module, average, seen


def test_the_average_is_that_of_the_formula():
    _, average, seen = _trained(0.6, 30)
    # Unrolled: weight t has the share (1 - d_t) times all later d; the first has no share taken.
    decays = [min(0.6, t / (t + 9)) for t in range(1, 31)]
    expected = torch.zeros_like(seen[0])
    for t, weight in enumerate(seen):
        share = 1.0 if t == 0 else 1 - decays[t]
        for later in decays[t + 1 :]:
            share *= later
        expected += share * weight
    torch.testing.assert_close(average.average[0], expected, rtol=1e-12, atol=1e-12)


def test_weights_and_buffers_come_back_to_the_last_bit():
    module, average, seen = _trained(0.9, 5)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    pointer = module[0].weight.data_ptr()
    average.swap_in()
    torch.testing.assert_close(module[0].weight, average.average[0], rtol=0, atol=0)
    assert not torch.equal(module[0].weight, seen[-1])
    module.train()(torch.randn(4, 2, dtype=torch.float64))  # moves the buffers
    average.swap_out()
    after = module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert module[0].weight.data_ptr() == pointer


def test_a_saved_average_goes_on_as_if_it_had_not_stopped():
    module, average, _ = _trained(0.9, 5)
    twin = WeightAverage(module, 0.9)
    twin.load_state_dict(average.state_dict() | {"average": [a.clone() for a in average.average]})
    twin.follow()
    with torch.no_grad():
        module[0].weight.add_(1)
    average.update()
    twin.update()
    assert torch.equal(average.average[0], twin.average[0])
