from math import cos, pi

import pytest
import torch
from torch import nn

from flowbench.spec.run import TrainingSpec
from flowbench.training.optimisers import clipped_norm, optimiser, schedule


def test_the_schedule_warms_up_linearly_and_falls_along_a_half_cosine():
    factor = schedule(TrainingSpec(warmup_steps=10), total_steps=100)
    for step in (0, 3, 9):
        assert factor(step) == pytest.approx((step + 1) / 10 * 0.5 * (1 + cos(pi * step / 100)))
    for step in (10, 50, 75):
        assert factor(step) == pytest.approx(0.5 * (1 + cos(pi * step / 100)))
    assert factor(100) == factor(130) == pytest.approx(0, abs=1e-15)


def test_a_warm_up_takes_a_quarter_of_the_training_at_most():
    factor = schedule(TrainingSpec(warmup_steps=1000, schedule="constant"), total_steps=100)
    assert factor(0) == pytest.approx(1 / 1000)
    assert factor(12) == pytest.approx(4 * 0.12)
    assert factor(25) == factor(99) == 1


def test_a_budget_of_seconds_is_followed_where_it_is_spent_first():
    factor = schedule(TrainingSpec(warmup_steps=4), total_steps=1000)
    assert factor(10, 0.5) == pytest.approx(0.5)
    assert factor(900, 0.5) == factor(900)
    assert factor(2, 1.5) == pytest.approx(0, abs=1e-15)


def test_no_warm_up_starts_at_the_full_rate():
    assert schedule(TrainingSpec(warmup_steps=0), total_steps=10)(0) == 1


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Linear(3, 2).double()


def _steps(model, spec, gradients):
    chosen = optimiser(model, spec)
    for gradient in gradients:
        for parameter, value in zip(model.parameters(), gradient, strict=True):
            parameter.grad = value.clone()
        chosen.step()


@pytest.fixture
def gradients():
    torch.manual_seed(1)
    return [
        (torch.randn(2, 3, dtype=torch.float64), torch.randn(2, dtype=torch.float64))
        for _ in range(5)
    ]


@pytest.mark.parametrize("name", ["adam", "adamax"])
def test_decay_is_decoupled_and_spares_biases(name, model, gradients):
    lr, decay, eps = 0.1, 0.3, 1e-8
    expected = [p.detach().clone() for p in model.parameters()]
    for i, start in enumerate(expected):
        weight = start
        first, second = torch.zeros_like(weight), torch.zeros_like(weight)
        for t, gradient in enumerate((g[i] for g in gradients), start=1):
            if weight.dim() == 2:
                weight = weight * (1 - lr * decay)
            first = 0.9 * first + 0.1 * gradient
            unbiased = first / (1 - 0.9**t)
            if name == "adam":
                second = 0.999 * second + 0.001 * gradient**2
                weight = weight - lr * unbiased / ((second / (1 - 0.999**t)).sqrt() + eps)
            else:
                second = torch.maximum(0.999 * second, gradient.abs() + eps)
                weight = weight - lr * unbiased / second
        expected[i] = weight
    spec = TrainingSpec(optimizer=name, learning_rate=lr, weight_decay=decay)
    _steps(model, spec, gradients)
    for weight, value in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(weight, value, rtol=1e-12, atol=1e-12)


def test_adamax_without_decay_is_torchs(model, gradients):
    twin = nn.Linear(3, 2).double()
    twin.load_state_dict(model.state_dict())
    _steps(model, TrainingSpec(optimizer="adamax", learning_rate=0.01), gradients)
    plain = torch.optim.Adamax(twin.parameters(), lr=0.01)
    for gradient in gradients:
        twin.weight.grad, twin.bias.grad = gradient
        plain.step()
    torch.testing.assert_close(model.weight, twin.weight, rtol=0, atol=0)


def test_adamaxw_steps_through_a_closure_and_keeps_its_decay(model):
    chosen = optimiser(model, TrainingSpec(optimizer="adamax", weight_decay=0.2))
    x = torch.ones(4, 3, dtype=torch.float64)

    def closure():
        chosen.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        return loss

    before = closure().item()
    assert chosen.step(closure).item() == pytest.approx(before)
    assert model(x).square().mean() < before
    assert [group["weight_decay"] for group in chosen.param_groups] == [0.2, 0.0]


def test_the_norm_is_that_of_the_whole_gradient_before_clipping(model):
    model.weight.grad = torch.full((2, 3), 3.0, dtype=torch.float64)
    model.bias.grad = torch.full((2,), 4.0, dtype=torch.float64)
    expected = (6 * 9 + 2 * 16) ** 0.5
    assert float(clipped_norm(model, None)) == pytest.approx(expected)
    assert float(clipped_norm(model, 2.0)) == pytest.approx(expected)
    assert float(clipped_norm(model, None)) == pytest.approx(2.0, rel=1e-5)
    assert float(clipped_norm(model, 5.0)) == pytest.approx(2.0, rel=1e-5)
