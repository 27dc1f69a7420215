"""Reversible backpropagation: the gradients of stored activations, without the activations."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from flowbench.bijections.reversible import Reconstruction
from flowbench.conformance.perturb import perturb
from flowbench.errors import InputError
from flowbench.evaluation.memory import peak_memory_of
from flowbench.families.registry import create
from flowbench.training.reversible import backpropagate_reversibly

IMAGE, VECTOR = (1, 8, 8), (6,)
CASES = {
    "nice": ("nice", VECTOR, {"depth": 4, "hidden": [16]}),
    "nice on images": ("nice", IMAGE, {"depth": 3, "hidden": [8]}),
    "realnvp": ("realnvp", VECTOR, {"depth": 4, "hidden": [16]}),
    "realnvp, a stack": ("realnvp", VECTOR, {"depth": 4, "hidden": [16], "normalisation": "none"}),
    "realnvp by parity": ("realnvp", (7,), {"depth": 3, "hidden": [16], "split": "parity"}),
    "realnvp, residual": ("realnvp", IMAGE, {"depth": 4, "hidden": [8], "conditioner": "residual"}),
    "glow": ("glow", VECTOR, {"depth": 3, "width": 16}),
    "glow on images": ("glow", IMAGE, {"depth": 3, "width": 8}),
    "glow, shuffled": ("glow", IMAGE, {"depth": 2, "width": 8, "permutation": "shuffle"}),
    "planar": ("planar", VECTOR, {"depth": 5}),
    "planar on images": ("planar", IMAGE, {"depth": 5}),
    "planar, generative": ("planar", VECTOR, {"depth": 5, "direction": "generative"}),
}


def moved(name, event_shape, options, dtype=torch.float64, scale=1.0, **more):
    """Return a flow in training mode, away from where it starts."""
    torch.manual_seed(0)
    flow = create(name, event_shape, **options, **more).to(dtype).train()
    perturb(flow, scale)
    return flow


def gradients(flow, x, context=None):
    """Return the loss, and its gradients in the parameters, the input and the context."""
    x = x.clone().requires_grad_()
    context = None if context is None else context.clone().requires_grad_()
    inputs = [*flow.parameters(), x, *([] if context is None else [context])]
    # Weights of the samples differ, so that a gradient mixed up between samples is seen.
    weights = torch.linspace(0.5, 1.5, len(x)).to(x)
    loss = -(weights * flow.log_prob(x, context)).sum()
    grads = torch.autograd.grad(loss, inputs, allow_unused=True)
    return loss.detach(), [
        torch.zeros_like(i) if g is None else g for i, g in zip(inputs, grads, strict=True)
    ]


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_stored_activations(case):
    flow = moved(*CASES[case])
    x = torch.randn(16, *flow.event_shape, dtype=torch.float64)
    loss, stored = gradients(flow, x)
    reconstruction = backpropagate_reversibly(flow)
    again, found = gradients(flow, x)
    torch.testing.assert_close(again, loss, rtol=1e-14, atol=0)
    largest = max(grad.abs().max() for grad in stored)
    for one, other in zip(stored, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-10, atol=1e-10 * float(largest))
    assert 0 < reconstruction.error < 1e-10


DEEP = {
    f"{name}, depth {depth}": (name, shape, {**keys, "depth": depth})
    for depth in (16, 64)
    for name, shape, keys in (
        ("realnvp", (6,), {"hidden": [16]}),
        ("glow", (1, 8, 8), {"width": 8, "levels": 1}),
        ("planar", (6,), {}),
    )
}


@pytest.mark.parametrize("case", [*CASES, *DEEP])
def test_gradients_in_single_precision(case):
    # 64 layers moved by half a standard deviation each have gradients of 1e21.
    scale = 0.1 if "depth 64" in case else 0.5
    flow = moved(*{**CASES, **DEEP}[case], dtype=torch.float32, scale=scale)
    x = torch.randn(64, *flow.event_shape)
    _, stored = gradients(flow, x)
    backpropagate_reversibly(flow)
    _, found = gradients(flow, x)
    stored, found = (torch.cat([g.flatten().double() for g in each]) for each in (stored, found))
    assert cosine_similarity(stored, found, 0) > 0.9999
    torch.testing.assert_close(found.norm(), stored.norm(), rtol=1e-3, atol=0)


def test_gradients_reach_a_context():
    flow = moved(*CASES["realnvp"], context_size=3)
    x, context = torch.randn(8, 6).double(), torch.randn(8, 3).double()
    _, stored = gradients(flow, x, context)
    backpropagate_reversibly(flow)
    _, found = gradients(flow, x, context)
    assert found[-1].abs().max() > 0.01
    for one, other in zip(stored, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-10)


def test_gradients_under_autocast():
    flow = moved(*CASES["realnvp"], dtype=torch.float32, scale=0.5)
    x = torch.randn(64, 6)

    def half():
        with torch.autocast("cpu", torch.bfloat16):
            loss = -flow.log_prob(x).mean()
        return torch.autograd.grad(loss, list(flow.parameters()))  # as trainers do: outside of it

    stored = half()
    backpropagate_reversibly(flow)
    stored, found = (torch.cat([g.flatten() for g in each]) for each in (stored, half()))
    assert cosine_similarity(stored, found, 0) > 0.9999


@pytest.mark.parametrize("case", ["nice", "realnvp", "realnvp, a stack", "glow", "planar"])
def test_memory_does_not_grow_with_depth(case):
    name, _, options = CASES[case]
    x = torch.randn(512, 64)
    slopes = {}
    for reversible in (False, True):
        peaks = []
        for depth in (4, 64):
            torch.manual_seed(0)
            flow = create(name, (64,), **{**options, "depth": depth}).train()
            if reversible:
                backpropagate_reversibly(flow)
            parameters = list(flow.parameters())

            def step(flow=flow, parameters=parameters):
                # Gradients themselves take what the parameters take, either way.
                return torch.autograd.grad(flow.log_prob(x).mean(), parameters, allow_unused=True)

            own = sum(p.numel() * p.element_size() for p in parameters)
            peaks.append(peak_memory_of(step, x.device) - own)
        slopes[reversible] = (peaks[1] - peaks[0]) / 60
    assert slopes[False] > x.numel()  # bytes: a quarter of one tensor of activations, at least
    assert slopes[True] < 0.05 * slopes[False]


def test_a_conditioner_runs_once_more_and_not_twice():
    flow = moved(*CASES["realnvp"])
    calls = []
    flow.flow.sequence[1].conditioner.register_forward_hook(lambda *_: calls.append(1))
    backpropagate_reversibly(flow)
    flow.log_prob(torch.randn(4, 6).double()).sum().backward()
    assert len(calls) == 2


def test_a_badly_conditioned_flow_is_told_by_its_error():
    flow = moved("realnvp", (6,), {"depth": 24, "hidden": [16]}, dtype=torch.float32, scale=4.0)
    x = torch.randn(64, 6)
    reconstruction = backpropagate_reversibly(flow)
    gradients(flow, x)
    trip = flow.flow.decode_map(flow.flow.encode_map(x)).detach()
    sizes = x.abs().amax(1)
    error = float(((trip - x).abs().amax(1) / sizes.clamp(min=float(sizes.median()))).max())
    assert error > 1e-3
    # The same inverse, but for the order in which it rounds.
    assert error / 4 < float(reconstruction.error) < 4 * error


def test_the_error_of_a_point_is_not_lost_beside_an_outlier():
    reconstruction = Reconstruction()
    x = torch.tensor([[1.0, 0.5], [1.0, -2.0], [1e4, 0.0], [1e-9, 0.0]])
    reconstruction.compare(x, x + 0.1 * torch.tensor([[0.0], [0.0], [1.0], [0.0]]))
    assert float(reconstruction.error) == pytest.approx(1e-5)
    reconstruction.compare(x, x + 0.1 * torch.tensor([[0.0], [1.0], [0.0], [0.0]]))
    assert float(reconstruction.error) == pytest.approx(0.05)
    # One near zero is measured by its neighbours; what was worst is kept.
    reconstruction.compare(x, x + 0.01 * torch.tensor([[0.0], [0.0], [0.0], [1.0]]))
    assert float(reconstruction.error) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("flow", "sentence"),
    [
        (lambda: create("sylvester", VECTOR), "family sylvester would solve as many equations"),
        (lambda: create("residual", VECTOR), "family residual would solve a fixed point"),
        (lambda: create("nice", VECTOR, dropout=0.1), "family.dropout would draw other masks"),
        (lambda: create("small_flows:Fragile", VECTOR), "needs FlowBench's own layers"),
        (lambda: create("flowbench.adapters.zuko:MAF", VECTOR), "one coordinate after the other"),
    ],
)
def test_what_keeps_its_activations_is_refused_by_name(flow, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        backpropagate_reversibly(flow())
    assert str(refused.value).startswith("training.reversible = true: ")
    assert "\n" not in str(refused.value)
