"""Flows of zuko, nflows and normflows keep the promises of a family through their adapters."""

import sys
from functools import partial
from math import prod

import pytest
import torch

from flowbench.conformance.case import Subject
from flowbench.conformance.perturb import perturb
from flowbench.conformance.run import check
from flowbench.conformance.subjects import family_subjects
from flowbench.errors import InputError
from flowbench.families.checkpoint import load_flow, save_flow
from flowbench.families.registry import create

SOUND = [
    ("spline", (3,), 3),
    ("spline", (1, 2, 2), 0),
    ("autoregressive", (3,), 0),
    ("autoregressive", (3,), 2),
    ("realnvp", (2,), 0),
    ("realnvp", (1, 2, 2), 0),
    ("conditional", (3,), 2),
    ("glow", (1, 4, 4), 0),
]
"""Flows that their libraries get right, at moderate parameters: their scales have no bound."""


def made(name, shape, context_size=0, seed=1):
    torch.manual_seed(seed)
    flow = create(f"adapted_flows:{name}", shape, context_size=context_size).double()
    perturb(flow, 0.5)
    return flow.eval()


@pytest.mark.parametrize("scale", [0.5, 1.0])
@pytest.mark.parametrize(("name", "shape", "context_size"), SOUND)
def test_a_sound_flow_passes_every_check(name, shape, context_size, scale):
    subject = Subject(
        group=name,
        name=str(shape),
        build=partial(create, f"adapted_flows:{name}", shape, context_size=context_size),
        event_shape=shape,
        latent_shape=(prod(shape),),
        context_size=context_size,
        scale=scale,
        seed=1,
    )
    results = check(subject)
    assert [result for result in results if result.failed] == []
    passed = {result.check for result in results if result.verdict == "passed"}
    assert {"data round trip", "encode log-det", "decode log-det", "sample log_prob"} <= passed
    assert ("context used" in passed) == (context_size > 0)


@pytest.mark.parametrize(("name", "shape", "context_size"), SOUND)
def test_the_density_is_the_librarys_own(name, shape, context_size):
    flow = made(name, shape, context_size)
    x = torch.randn(5, *shape, dtype=torch.float64)
    context = torch.randn(5, context_size, dtype=torch.float64) if context_size else None
    adapter = flow.flow.module
    rows = x.reshape(5, *adapter.shape)
    if name == "spline":
        own = adapter.flow(context).log_prob(rows)
    elif name == "glow":
        own = adapter.flow.log_prob(rows, None)
    else:
        own = adapter.flow.log_prob(rows, *([] if context is None else [context]))
    torch.testing.assert_close(flow.log_prob(x, context), own)


def test_latents_that_have_another_shape_are_flattened_and_restored():
    flow = made("channels", (2, 4, 4))
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    z, log_det = flow.encode(x)
    back, back_log_det = flow.decode(z)
    assert z.shape == (3, 32)
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(back_log_det, -log_det)
    assert flow.sample(4).shape == (4, 2, 4, 4)


def test_labels_say_what_is_estimated_and_what_is_searched_for():
    assert made("realnvp", (2,)).log_det_label == "exact"
    assert made("realnvp", (2,)).inverse_label == "analytic"
    residual = made("residual", (2,))
    assert (residual.log_det_label, residual.inverse_label) == ("estimate", "iterative")
    bernstein = made("Bernstein", (2,))
    assert (bernstein.log_det_label, bernstein.inverse_label) == ("exact", "iterative")
    z = torch.randn(5, 2, dtype=torch.float64)
    torch.testing.assert_close(bernstein.encode(bernstein.decode(z)[0])[0], z, rtol=0, atol=1e-5)


def test_a_step_is_followed_by_the_spectral_norms():
    flow = made("residual", (2,))
    (block, *_) = flow.flow.module.flow.flows
    with torch.no_grad():
        for parameter in block.parameters():
            if parameter.dim() == 2:
                parameter.copy_(10 * torch.randn_like(parameter))
    x = torch.randn(200, 2, dtype=torch.float64)

    def slope():
        with torch.no_grad():
            images = block.iresblock.nnet(x)
        moves = [each[1:] - each[:-1] for each in (images, x)]
        return float((moves[0].norm(dim=1) / moves[1].norm(dim=1)).max())

    grown = slope()
    flow.after_step()
    assert slope() < 1 < grown


def test_a_first_batch_sets_what_sets_itself():
    flow = create("adapted_flows:channels", (1, 4, 4))
    x = 3 + 5 * torch.randn(64, 1, 4, 4)
    flow.initialise(x)
    noise = flow.encode(x)[0]
    assert abs(float(noise.mean())) < 0.1
    assert abs(float(noise.std()) - 1) < 0.1


@pytest.mark.parametrize("name", ["spline", "autoregressive", "realnvp"])
def test_what_was_saved_gives_the_same_numbers(name, tmp_path):
    flow = made(name, (3,))
    save_flow(flow, tmp_path / "flow.pt")
    loaded = load_flow(tmp_path / "flow.pt")
    x = torch.randn(5, 3, dtype=torch.float64)
    assert torch.equal(loaded.log_prob(x), flow.log_prob(x))
    draws = [each.sample(3, generator=torch.Generator().manual_seed(0)) for each in (flow, loaded)]
    assert torch.equal(*draws)


@pytest.mark.parametrize("library", ["zuko", "nflows", "normflows"])
def test_a_library_that_is_missing_is_named_with_the_extra_that_brings_it(library, monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, library, None)
    adapter = f"flowbench.adapters.{library}"
    monkeypatch.delitem(sys.modules, adapter, raising=False)
    with pytest.raises(InputError) as refused:
        create(f"{adapter}:Anything", (2,))
    assert str(refused.value) == (
        f"family.name = '{adapter}:Anything': {library} is not installed: "
        "pip install 'flowbench[bench]'"
    )


REFERENCES = ["SplineCoupling", "MAF"]


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("kind", ["vectors", "images"])
def test_a_reference_row_keeps_every_promise(name, kind):
    subjects = [
        subject
        for subject in family_subjects(f"flowbench.adapters.zuko:{name}", kind)
        if "normalisation = actnorm" in subject.name
        and subject.event_shape != (1, 5, 5)
        and subject.scale == (0.5 if subject.event_shape == (2,) else 2.0)
    ]
    assert {subject.context_size for subject in subjects} == {0, 3}
    for subject in subjects:
        failed = [result for result in check(subject) if result.failed]
        assert failed == [], subject.name


@pytest.mark.parametrize("name", REFERENCES)
def test_a_reference_row_is_what_it_is_called(name):
    """What its Jacobian must be: block-triangular for couplings, triangular for each MAF layer."""
    torch.manual_seed(0)
    flow = create(
        f"flowbench.adapters.zuko:{name}", (4,), depth=1, hidden=(8,), normalisation="none"
    ).double()
    perturb(flow, 1.0)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: flow.encode(x)[0].sum(0), torch.randn(1, 4, dtype=torch.float64)
    )[:, 0]
    depends = jacobian.abs() > 1e-12
    if name == "MAF":
        assert torch.equal(depends, torch.ones(4, 4, dtype=torch.bool).tril())
    else:
        moved = depends.sum(1) > 1
        assert moved.tolist() in ([True, False] * 2, [False, True] * 2)
        assert torch.equal(depends[moved][:, ~moved], torch.ones(2, 2, dtype=torch.bool))
        assert torch.equal(depends[~moved], torch.eye(4, dtype=torch.bool)[~moved])


def test_a_spline_is_the_identity_outside_of_its_bound():
    torch.manual_seed(0)
    flow = create(
        "flowbench.adapters.zuko:SplineCoupling", (2,), depth=2, bound=3.0, normalisation="none"
    ).double()
    perturb(flow, 1.0)
    outside = torch.tensor([[3.5, -4.0], [-10.0, 3.1]], dtype=torch.float64)
    inside = torch.tensor([[0.5, -1.0]], dtype=torch.float64)
    assert torch.equal(flow.encode(outside)[0], outside)
    assert not torch.allclose(flow.encode(inside)[0], inside, atol=1e-3)


def test_a_function_is_a_family_with_hyperparameters_of_its_own():
    assert create("adapted_flows:spline", (3,), transforms=3).hyperparameters == {"transforms": 3}
    with pytest.raises(InputError, match=r"family\.transfroms"):
        create("adapted_flows:spline", (3,), transfroms=3)
    with pytest.raises(InputError, match="family realnvp takes no context"):
        create("adapted_flows:realnvp", (3,), context_size=2)
    with pytest.raises(
        InputError, match=r"adapted_flows has no nn\.Module nothing, nor a function"
    ):
        create("adapted_flows:nothing", (3,))
