"""A compiled step has the loss and the gradients of an uncompiled one, by one program."""

import pytest
import torch
from torch import nn

from flowbench.bijections.linear import PlainLinear
from flowbench.errors import InputError, NotInvertible
from flowbench.families.registry import create
from flowbench.numerics.keyed_noise import scalar_uniform
from flowbench.numerics.series import roulette_coefficients
from flowbench.spec.run import TrainingSpec
from flowbench.training.compiled import CompiledTerms, require_compiler
from flowbench.training.terms import log_prob_terms

pytestmark = pytest.mark.compile

ROWS = 12
SEED = 5
IMAGES = (1, 4, 4)
FLOWS = {
    "nice": ("nice", (6,), {"hidden": (8, 8)}),
    "realnvp": ("realnvp", (6,), {"hidden": (8, 8)}),
    "realnvp on images": ("realnvp", IMAGES, {"hidden": (8,)}),
    "glow": ("glow", IMAGES, {"width": 8}),
    "glow, plain": ("glow", (5,), {"width": 8, "permutation": "conv"}),
    "planar": ("planar", (6,), {}),
    "sylvester": ("sylvester", (6,), {"bottleneck": 3}),
    "sylvester, general": ("sylvester", (6,), {"bottleneck": 3, "variant": "general"}),
    "residual, exact": ("residual", (3,), {"hidden": (8, 8), "log_det": "exact"}),
    "residual, series": ("residual", (6,), {"hidden": (8, 8), "log_det": "series"}),
    "residual, roulette": ("residual", (6,), {"hidden": (8, 8), "log_det": "roulette"}),
    "residual, two probes": (
        "residual",
        (6,),
        {"hidden": (8, 8), "log_det": "roulette", "probes": 2},
    ),
    "residual on images": ("residual", IMAGES, {"hidden": (4, 4), "levels": 1}),
}
LEAST = {torch.float64: 1e-10, torch.float32: 2e-5}
"""Largest relative difference of a value or a gradient."""


def _made(family, event_shape, keys, dtype=torch.float64, context_size=0):
    torch.manual_seed(3)
    flow = create(family, event_shape, depth=2, context_size=context_size, **keys)
    flow = flow.to(dtype).train()
    context = torch.randn(64, context_size, dtype=dtype) if context_size else None
    flow.initialise(torch.randn(64, *event_shape, dtype=dtype), context)
    _move(flow, 0.1)
    return flow


def _move(flow, size):
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    flow.after_step()


def _step(terms, flow, x, context, step):
    """Return the two terms and the gradients of a weighted loss."""
    flow.key_noise(SEED, step, torch.arange(len(x)))
    flow.zero_grad()
    base_log_prob, log_det = terms(x, context)
    weights = torch.linspace(0.5, 1.5, len(x), dtype=x.dtype)
    (weights * (base_log_prob + log_det)).sum().backward()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in flow.parameters()]
    return [base_log_prob.detach(), log_det.detach(), *gradients]


def _said(caplog):
    """Return what the log says of compiling; torch itself writes there too."""
    records = [r for r in caplog.records if r.name == "flowbench.training.compiled"]
    return [record.getMessage() for record in records]


def _assert_same(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert float((one - other).norm()) <= tolerance * max(1.0, float(other.norm()))


@pytest.mark.parametrize("dtype", LEAST, ids=["float64", "float32"])
@pytest.mark.parametrize("name", FLOWS)
def test_steps_are_the_same_by_one_program(name, dtype, programs):
    family, event_shape, keys = FLOWS[name]
    flow = _made(family, event_shape, keys, dtype)
    keys_before = list(flow.state_dict())
    compiled = CompiledTerms(flow, TrainingSpec())
    losses = []
    for step in range(5):
        x = torch.randn(ROWS, *event_shape, dtype=dtype)
        found = _step(compiled, flow, x, None, step)
        eager = _step(lambda x, c: log_prob_terms(flow, x, c), flow, x, None, step)
        _assert_same(found, eager, LEAST[dtype])
        losses.append(found[1].mean())
        _move(flow, 0.02)  # as an optimiser does; spectral norms follow
    assert len(set(losses)) == 5
    assert (compiled.label, programs()) == ("yes", 1)
    assert list(flow.state_dict()) == keys_before


def test_the_steps_above_draw_different_numbers_of_terms():
    # Streams of the blocks' counts are odd.
    lengths = {
        len(roulette_coefficients(scalar_uniform(SEED, step, stream), 2))
        for step in range(5)
        for stream in (1, 3)
    }
    assert len(lengths) >= 3


def test_a_batch_of_another_size_is_one_program_more(programs):
    flow = _made("residual", (6,), {"hidden": (8,), "log_det": "roulette"})
    compiled = CompiledTerms(flow, TrainingSpec())
    for step, rows in enumerate((8, 7, 8, 7, 8)):
        x = torch.randn(rows, 6, dtype=torch.float64)
        found = _step(compiled, flow, x, None, step)
        _assert_same(
            found, _step(lambda x, c: log_prob_terms(flow, x, c), flow, x, None, step), 1e-10
        )
    assert (compiled.label, programs()) == ("yes", 2)


def test_a_context_and_half_precision_are_compiled_too(programs):
    flow = _made("realnvp", (4,), {"hidden": (8,)}, torch.float32, context_size=2)
    compiled = CompiledTerms(flow, TrainingSpec())
    x, context = torch.randn(ROWS, 4), torch.randn(ROWS, 2)
    eager = _step(lambda x, c: log_prob_terms(flow, x, c), flow, x, context, 0)
    _assert_same(_step(compiled, flow, x, context, 0), eager, 2e-5)
    with torch.autocast("cpu", torch.bfloat16):
        half = _step(compiled, flow, x, context, 0)
    assert half[1].dtype == torch.float32
    _assert_same(half, eager, 0.05)
    assert not torch.equal(half[1], eager[1])
    assert (compiled.label, programs()) == ("yes", 2)


def test_a_singular_layer_is_still_named():
    flow = _made("glow", (4,), {"width": 8, "permutation": "conv"})
    compiled = CompiledTerms(flow, TrainingSpec())
    x = torch.randn(ROWS, 4, dtype=torch.float64)
    _step(compiled, flow, x, None, 0)
    linear = next(layer for layer in flow.bijections() if isinstance(layer, PlainLinear))
    linear.matrix.data.zero_()
    with pytest.raises(NotInvertible, match=linear.path):
        compiled(x, None)


class Traceable(nn.Module):
    """A user's flow without a branch on data."""

    def __init__(self, event_shape):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(event_shape))

    def log_prob(self, x):
        return torch.distributions.Normal(self.mean, 1.0, validate_args=False).log_prob(x).sum(1)

    def sample(self, n):
        return self.mean + torch.randn(n, *self.mean.shape)


class Branching(Traceable):
    """A user's flow that looks at its data."""

    def log_prob(self, x):
        return super().log_prob(x) * (1.0 if float(x.mean()) > -1e9 else 2.0)


class Counting(Traceable):
    """A user's flow that counts its calls in Python: a program for every one of them."""

    calls = 0.0

    def log_prob(self, x):
        self.calls += 1.0
        return super().log_prob(x) * (1.0 + self.calls / 1e6)


class BrokenBackward(Traceable):
    """A user's flow with a gradient of its own that looks at data."""

    def log_prob(self, x):
        return super().log_prob(Looking.apply(x - self.mean) + self.mean)


class Looking(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (1.0 if float(gradient.sum()) > -1e9 else 2.0)


@pytest.mark.parametrize(
    ("flow", "compiles"), [(Traceable, True), (Branching, False), (BrokenBackward, False)]
)
def test_a_users_flow_is_compiled_where_it_can_be(flow, compiles, programs, caplog):
    flow = create(f"{__name__}:{flow.__name__}", (3,)).double().train()
    compiled = CompiledTerms(flow, TrainingSpec())
    for step in range(3):
        x = torch.randn(ROWS, 3, dtype=torch.float64)
        found = _step(compiled, flow, x, None, step)
        _assert_same(
            found, _step(lambda x, c: log_prob_terms(flow, x, c), flow, x, None, step), 1e-10
        )
    if compiles:
        assert (compiled.label, programs(), _said(caplog)) == ("yes", 1, [])
    else:
        (message,) = _said(caplog)
        assert message.startswith("training.compile = true: steps run uncompiled, for torch cannot")
        assert "raised:" not in message
        assert compiled.label in f"no: {message.partition('for ')[2]}"


def test_a_flow_that_needs_a_program_a_step_goes_on_without(caplog):
    flow = create(f"{__name__}:{Counting.__name__}", (3,)).double().train()
    compiled = CompiledTerms(flow, TrainingSpec())
    for step in range(12):
        x = torch.randn(ROWS, 3, dtype=torch.float64)
        _, log_det, *gradients = _step(compiled, flow, x, None, step)
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert log_det.isfinite().all()
    (message,) = _said(caplog)
    assert "steps run uncompiled, for torch cannot compile this flow" in message


@pytest.mark.parametrize(
    ("family", "keys", "training", "reason"),
    [
        ("planar", {"direction": "generative"}, {}, "direction: generative"),
        ("sylvester", {"direction": "generative"}, {}, "direction: generative"),
        ("residual", {"direction": "generative"}, {}, "direction: generative"),
        ("realnvp", {}, {"reversible": True}, "reversible backpropagation"),
    ],
)
def test_what_cannot_be_compiled_says_so(family, keys, training, reason, programs, caplog):
    flow = _made(family, (4,), keys)
    compiled = CompiledTerms(flow, TrainingSpec(**training))
    x = torch.randn(ROWS, 4, dtype=torch.float64)
    found = _step(compiled, flow, x, None, 0)
    assert all(tensor.isfinite().all() for tensor in found)
    (message,) = _said(caplog)
    assert reason in message
    assert reason in compiled.label
    assert programs() == 0


def test_without_a_compiler_it_is_refused():
    with (
        torch._inductor.config.patch({"cpp.cxx": (None, "no-such-compiler")}),
        pytest.raises(InputError, match="needs a C\\+\\+ compiler"),
    ):
        require_compiler("cpu")
    require_compiler("cpu")
