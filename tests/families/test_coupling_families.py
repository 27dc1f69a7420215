"""NICE, RealNVP and Glow: their variants on vectors and images, at perturbed parameters."""

from math import prod

import pytest
import torch
from torch.distributions import Independent, Normal

from flowbench.bijections.coupling import CouplingStack, PartwiseBijection
from flowbench.bijections.linear import LinearMap
from flowbench.errors import InputError
from flowbench.families.flow import Flow
from flowbench.families.registry import create

VECTORS = [(2,), (3,), (6,)]
IMAGES = [(1, 4, 4), (2, 4, 6), (1, 3, 3), (3, 3, 5), (1, 4, 3), (2, 2, 2)]
SMALL = {"depth": 3, "hidden": (8,)}
SMALL_GLOW = {"depth": 3, "width": 8}

VARIANTS = [
    ("nice", {**SMALL, "base": "logistic"}),
    ("nice", {**SMALL, "split": "half", "split_ratio": 0.3}),
    ("realnvp", SMALL),
    ("realnvp", {**SMALL, "split": "parity", "normalisation": "none"}),
    ("realnvp", {**SMALL, "learned_top": False, "scale_bound": 1.0}),
    ("glow", SMALL_GLOW),
    ("glow", {**SMALL_GLOW, "permutation": "conv", "coupling": "additive"}),
    ("glow", {**SMALL_GLOW, "permutation": "reverse"}),
    ("glow", {**SMALL_GLOW, "permutation": "shuffle", "learned_top": False}),
]
IMAGE_VARIANTS = [
    *VARIANTS,
    ("nice", {**SMALL, "network": "conv"}),
    ("glow", {**SMALL_GLOW, "split": "parity"}),
]
SQUEEZED_VARIANTS = [
    ("nice", {**SMALL, "network": "conv", "split": "checkerboard"}),
    ("realnvp", {**SMALL, "split": "checkerboard", "levels": 1}),
    ("realnvp", {**SMALL, "split": "channel", "split_ratio": 0.25}),
    ("glow", {**SMALL_GLOW, "split": "checkerboard", "permutation": "reverse"}),
]
CASES = [
    *[(name, shape, keys) for name, keys in VARIANTS for shape in VECTORS],
    *[
        (name, shape, keys)
        for name, keys in IMAGE_VARIANTS
        for shape in IMAGES
        if not (shape == (1, 3, 3) and keys.get("split") == "half")
    ],
    *[(name, shape, keys) for name, keys in SQUEEZED_VARIANTS for shape in ((1, 4, 4), (2, 2, 2))],
]


def build(name: str, shape: tuple[int, ...], keys: dict, **data) -> Flow:
    """Return a flow in float64 and eval mode, initialised on data and then perturbed."""
    torch.manual_seed(0)
    flow = create(name, shape, **keys, **data).double()
    x = 2 * torch.randn(64, *shape, dtype=torch.float64) + 1
    context = torch.randn(64, flow.context_size).double() if flow.context_size else None
    flow.initialise(x, context)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return flow.eval()


@pytest.mark.parametrize(("name", "shape", "keys"), CASES)
def test_likelihoods_follow_from_autograds_jacobian_and_decode_inverts(name, shape, keys):
    flow = build(name, shape, keys)
    x = 2 * torch.randn(2, *shape, dtype=torch.float64) + 1
    z, log_det = flow.encode(x)
    assert z.shape == (2, prod(shape))
    jacobian = torch.autograd.functional.jacobian(
        lambda t: flow.encode(t[None])[0][0], x[0], vectorize=True
    ).reshape(flow.dim, flow.dim)
    expected = torch.linalg.slogdet(jacobian)[1]
    assert log_det[0].item() == pytest.approx(expected.item(), abs=1e-9)
    back, back_log_det = flow.decode(z)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-9)
    torch.testing.assert_close(back_log_det, -log_det, rtol=0, atol=1e-9)
    torch.testing.assert_close(flow.decode_map(z), back, rtol=0, atol=0)
    torch.testing.assert_close(flow.log_prob(x), flow.base.log_prob(z) + log_det)
    assert (flow.log_det_label, flow.inverse_label) == ("exact", "analytic")


FIXED = [
    *[("reverse", "half", shape) for shape in ((2,), (3,), (6,), (7,), (1, 4, 4), (3, 3, 5))],
    *[("reverse", "parity", shape) for shape in ((2,), (5,), (1, 4, 4), (3, 3, 5), (2, 3, 4))],
    ("reverse", "checkerboard", (1, 4, 4)),
    *[("shuffle", "half", shape) for shape in ((2,), (3,), (7,), (1, 4, 4))],
    *[("conv", "half", shape) for shape in ((1, 4, 4), (3, 3, 5))],
    *[("conv", "parity", shape) for shape in ((2, 4, 4), (3, 3, 5))],
]


@pytest.mark.parametrize(("permutation", "split", "shape"), FIXED)
def test_glow_moves_every_coordinate_about_equally_often(permutation, split, shape):
    depth = 8
    flow = create(
        "glow",
        shape,
        depth=depth,
        width=2,
        permutation=permutation,
        split=split,
        coupling="additive",
        learned_top=False,
        levels=1,
    )
    with torch.no_grad():
        for module in flow.modules():
            if isinstance(module, PartwiseBijection):  # adds one to whatever it moves
                module.conditioner.rest[-1].weight.zero_()
                module.conditioner.rest[-1].bias.fill_(1.0)
            elif permutation == "conv" and isinstance(module, LinearMap):
                module.matrix.copy_(torch.eye(module.size))
        moves = flow.encode(torch.zeros(1, *shape))[0][0]
    if permutation == "conv" and split == "half":
        # What mixes the channels is learned: the second part moves always.
        assert set(moves.tolist()) == {0.0, float(depth)}
    else:
        assert moves.min() >= depth / 4


def counted(monkeypatch, kind: type, method: str) -> list[str]:
    calls: list[str] = []
    original = getattr(kind, method)

    def counting(self, *arguments, **options):
        calls.append(type(self).__name__)
        return original(self, *arguments, **options)

    monkeypatch.setattr(kind, method, counting)
    return calls


@pytest.mark.parametrize("permutation", ["conv", "lu"])
@pytest.mark.parametrize("shape", [(6,), (1, 4, 4)])
def test_sampling_pays_for_no_log_det(monkeypatch, shape, permutation):
    flow = build("glow", shape, {**SMALL_GLOW, "permutation": permutation})
    determinants = counted(monkeypatch, LinearMap, "_log_det")
    decodes = counted(monkeypatch, PartwiseBijection, "decode")
    assert flow.sample(5).shape == (5, *shape)
    assert determinants == decodes == []
    flow.sample_and_log_prob(5)
    assert len(determinants) == sum(isinstance(m, LinearMap) for m in flow.modules())
    assert len(decodes) == sum(isinstance(m, PartwiseBijection) for m in flow.modules())


@pytest.mark.parametrize("name", ["nice", "realnvp", "glow"])
@pytest.mark.parametrize("shape", [(5,), (1, 4, 4)])
def test_the_context_changes_the_density_and_is_asked_for(name, shape):
    keys = SMALL_GLOW if name == "glow" else SMALL
    flow = build(name, shape, keys, context_size=3)
    x = torch.randn(4, *shape, dtype=torch.float64)
    context = torch.randn(4, 3, dtype=torch.float64)
    assert (flow.log_prob(x, context) != flow.log_prob(x, context + 1)).all()
    back = flow.decode(flow.encode(x, context)[0], context)[0]
    torch.testing.assert_close(back, x, rtol=0, atol=1e-9)
    same = flow.log_prob(x, context[0])
    torch.testing.assert_close(same[0], flow.log_prob(x, context)[0])
    torch.manual_seed(1)
    drawn, log_prob = flow.sample_and_log_prob(4, context)
    torch.testing.assert_close(log_prob, flow.log_prob(drawn, context), rtol=0, atol=1e-8)
    for wrong in (None, context[:, :2], context[:2]):
        with pytest.raises(InputError, match=r"\(4, 3\) expected"):
            flow.log_prob(x, wrong)
    with pytest.raises(InputError, match="built without a context"):
        build(name, shape, keys).log_prob(x, context)


@pytest.mark.parametrize("name", ["nice", "realnvp", "glow"])
def test_samples_have_the_flows_density(name):
    keys = {"depth": 2, "width": 8} if name == "glow" else {"depth": 2, "hidden": (8,)}
    flow = build(name, (2,), keys)
    torch.manual_seed(0)
    drawn, log_prob = flow.sample_and_log_prob(20_000)
    torch.testing.assert_close(log_prob, flow.log_prob(drawn), rtol=0, atol=1e-8)
    # The mean of q/p over samples of p is 1 for any density q that p covers.
    wide = Independent(Normal(drawn.mean(0), 0.5 * drawn.std(0)), 1)
    ratio = (wide.log_prob(drawn) - log_prob).exp()
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / len(ratio) ** 0.5
    view = flow.distribution()
    assert view.event_shape == (2,)
    torch.testing.assert_close(view.log_prob(drawn[:6].reshape(2, 3, 2)).flatten(), log_prob[:6])


def test_temperature_scales_the_bases_samples_and_a_generator_repeats_them():
    flow = build("realnvp", (3,), SMALL)
    cold = flow.sample(2, temperature=0.0)
    torch.testing.assert_close(cold, flow.decode_map(torch.zeros(2, 3).double()))
    first, again = (flow.sample(4, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)


def test_rsample_carries_gradients_and_sample_does_not():
    flow = build("glow", (3,), SMALL_GLOW)
    assert not flow.sample(2).requires_grad
    flow.rsample(16).square().sum().backward()
    assert all(
        p.grad is not None
        for name, p in flow.named_parameters()
        if not name.endswith("initialised")
    )


def test_without_normalisation_couplings_run_on_two_parts():
    flow = create("realnvp", (6,), depth=4, normalisation="none")
    stacks = [m for m in flow.modules() if isinstance(m, CouplingStack)]
    assert [len(stack.sequence) for stack in stacks] == [4]
    image = create("realnvp", (1, 4, 4), depth=4, normalisation="none", hidden=(4,))
    runs = [m for m in image.modules() if isinstance(m, CouplingStack)]
    kinds = [(stack.split.kind, len(stack.sequence)) for stack in runs]
    assert kinds == [("checkerboard", 2), ("channel", 2)] * 2


def test_parameter_counts_are_the_published_ones():
    def glow(depth: int) -> int:
        keys = {"levels": 3, "width": 512, "permutation": "conv"}
        return count(create("glow", (3, 32, 32), depth=depth, **keys))

    one = glow(1)
    cifar = one + 31 * (glow(2) - one)
    # The released code normalises inside each network too: a scale a channel more, for three
    # convolutions of each of 32 steps, and its last prior is a convolution from 96 to 96 channels.
    inside = 3 * 32 * 2 * 512 + 32 * (12 + 24 + 48)
    prior = 9 * 96 * 96
    assert cifar + inside + prior == pytest.approx(44.2e6, abs=0.1e6)
    keys = {"levels": 2, "depth": 8, "hidden": (64, 64)}
    assert count(create("realnvp", (1, 28, 28), **keys)) == pytest.approx(151e3, rel=0.01)


def count(flow: Flow) -> int:
    return sum(parameter.numel() for parameter in flow.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "keys", "said"),
    [
        ("nice", (1,), {}, "the data have one"),
        ("realnvp", (1,), {}, "the data have one"),
        ("glow", (1,), {}, "the data have one"),
        ("glow", (1, 1, 1), {}, "the data have one"),
        ("realnvp", (4,), {"split": "checkerboard"}, "needs images; allowed on vectors"),
        ("nice", (4,), {"network": "conv"}, "network = conv: the data are vectors; allowed: mlp"),
        ("nice", (1, 4, 4), {"levels": 2}, "levels = 2: network = mlp has none"),
        ("realnvp", (1, 4, 4), {"levels": 3}, "levels = 3: .* allowed: 1 to 2"),
        ("glow", (6,), {"levels": 2}, "only images of even sides have more than one level"),
        ("realnvp", (1, 3, 3), {"split": "checkerboard"}, "cannot be squeezed; allowed: parity"),
        ("realnvp", (4,), {"split": "parity", "split_ratio": 0.3}, "split_ratio = 0.3"),
        ("glow", (4,), {"depht": 2}, r"family.depht: unknown key \(did you mean depth\?\)"),
        ("glow", (4,), {"depth": 0}, "family.depth = 0: .*greater than or equal to 1"),
        ("glow", (4,), {"permutation": "svd"}, "family.permutation = 'svd': .*'reverse'"),
        ("realnvp", (4,), {"hidden": ()}, "family.hidden"),
        ("realnvp", (4,), {"dropout": "much"}, "family.dropout = 'much'"),
        ("glou", (4,), {}, "family.name = 'glou': allowed: nice, realnvp, glow"),
    ],
)
def test_mistakes_are_one_sentence(name, shape, keys, said):
    with pytest.raises(InputError, match=said) as raised:
        create(name, shape, **keys)
    assert "\n" not in str(raised.value)
