"""A user's own module under the contract of a family."""

import sys

import pytest
import torch
from users_flows import Affine

from flowbench.bijections.preprocess import Standardise
from flowbench.errors import InputError
from flowbench.families.checkpoint import load_flow, save_flow
from flowbench.families.registry import create

STEPS = [{"name": "scale", "low": 0.0, "high": 16.0}, {"name": "logit", "lam": 0.01}]


def affine(shape=(3,), **options):
    torch.manual_seed(0)
    flow = create("users_flows:Affine", shape, **options)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return flow


def test_the_density_is_the_modules_with_the_preprocessings_log_det():
    flow = affine(preprocess=STEPS).double()
    x = 16 * torch.rand(5, 3, dtype=torch.float64)
    y, log_det = flow.preprocess.encode(x)
    own = flow.flow.module.log_prob(y)
    torch.testing.assert_close(flow(x), own + log_det)
    terms = flow.log_prob_terms(x)
    torch.testing.assert_close(terms[0], own)
    torch.testing.assert_close(terms[1], log_det)
    z, whole_log_det = flow.encode(x)
    torch.testing.assert_close(flow(x), flow.base.log_prob(z) + whole_log_det)


@pytest.mark.parametrize("shape", [(3,), (2, 2, 3)])
def test_both_directions_work_as_in_any_family(shape):
    flow = affine(shape, preprocess=STEPS).double()
    assert (flow.can_encode, flow.can_decode) == (True, True)
    x = 1 + 14 * torch.rand(5, *shape, dtype=torch.float64)
    z, log_det = flow.encode(x)
    assert z.shape == (5, flow.dim)
    back, back_log_det = flow.decode(z)
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(back_log_det, -log_det)
    torch.testing.assert_close(flow.decode_map(z), x)
    assert (flow.log_det_label, flow.inverse_label) == ("exact", "analytic")


def test_samples_are_in_data_units_and_repeat_with_a_generator():
    for name in ("Gaussian", "Affine"):
        flow = create(f"users_flows:{name}", (3,), preprocess=STEPS)
        drawn = [flow.sample(50, generator=torch.Generator().manual_seed(7)) for _ in range(2)]
        assert torch.equal(*drawn)
        assert drawn[0].shape == (50, 3)
        assert drawn[0].min() > -1
        assert drawn[0].max() < 17
        state = torch.get_rng_state()
        x, log_prob = flow.sample_and_log_prob(4, generator=torch.Generator().manual_seed(1))
        assert torch.equal(torch.get_rng_state(), state) or name == "Affine"
        torch.testing.assert_close(log_prob, flow.log_prob(x))


def test_temperature_and_rsample_are_there_where_the_module_has_them():
    flow = affine()
    cold = flow.sample(2, temperature=0.0)
    torch.testing.assert_close(cold, flow.flow.module.mean.expand(2, 3))
    assert flow.rsample(2).requires_grad
    plain = create("users_flows:Gaussian", (3,))
    with pytest.raises(InputError, match="Gaussian: its sample takes no temperature"):
        plain.sample(2, temperature=0.5)
    with pytest.raises(InputError, match="Gaussian has no method rsample"):
        plain.rsample(2)


def test_what_a_module_lacks_is_said():
    flow = create("users_flows:Gaussian", (3,))
    assert (flow.can_encode, flow.can_decode) == (False, False)
    with pytest.raises(InputError, match="Gaussian has no method encode"):
        flow.encode(torch.zeros(2, 3))


def test_it_gets_what_training_offers():
    flow = affine(preprocess=[{"name": "scale", "low": 0, "high": 2}])
    flow.initialise(torch.full((4, 3), 3.0))
    assert flow.flow.module.mean.tolist() == [1.5] * 3
    flow.after_step()
    assert flow.flow.module.stepped
    create("users_flows:Gaussian", (3,)).initialise(torch.zeros(4, 3))


def test_a_context_is_handed_on_and_refused_by_those_that_take_none():
    torch.manual_seed(0)
    flow = create("users_flows:Conditional", (3,), context_size=2)
    x, context = torch.randn(4, 3), torch.randn(4, 2)
    assert (flow.log_prob(x, context) != flow.log_prob(x, context + 1)).all()
    assert flow.sample(4, context[0]).shape == (4, 3)
    with pytest.raises(InputError, match="Gaussian takes no context"):
        create("users_flows:Gaussian", (3,), context_size=2)


def test_its_own_keys_are_validated_like_a_familys():
    flow = create("users_flows:Dimension", (3,), dim=3, wide=True)
    assert (flow.family_name, flow.hyperparameters) == (
        "users_flows:Dimension",
        {"dim": 3, "wide": True},
    )
    for keys, said in (
        ({}, "family.dim: missing"),
        ({"dim": "three"}, "family.dim = 'three'"),
        ({"dim": 3, "tall": 1}, "family.tall: unknown key; allowed: dim, wide"),
    ):
        with pytest.raises(InputError, match=said):
            create("users_flows:Dimension", (3,), **keys)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("users_flows:Nobody", "users_flows has no nn.Module Nobody"),
        ("users_flows:Tensor", "users_flows has no nn.Module Tensor"),
        ("no_such_module:Flow", "cannot import no_such_module"),
        ("torch.nn:Linear", "Linear has no method log_prob"),
        (":Flow", "family.name = ':Flow'"),
        ("users_flows:", "users_flows has no nn.Module"),
        ("planer", "family.name = 'planer': allowed: nice"),
    ],
)
def test_names_that_lead_nowhere_are_one_sentence(name, said):
    with pytest.raises(InputError, match=said) as raised:
        create(name, (3,), **({"in_features": 3, "out_features": 3} if "Linear" in name else {}))
    assert "\n" not in str(raised.value)


def test_results_of_wrong_shapes_are_named():
    flow = create("users_flows:Mistaken", (3,))
    x = torch.zeros(4, 3)
    for call, said in (
        (lambda: flow.log_prob(x), r"its log_prob gave shape \(4, 1\); \(4,\) expected"),
        (lambda: flow.sample(5), r"its sample gave shape \(5, 1\); \(5, 3\) expected"),
        (lambda: flow.encode(x), "its encode gave Tensor; two tensors expected"),
    ):
        with pytest.raises(InputError, match=said):
            call()


def test_saved_and_loaded_it_gives_the_same_numbers(tmp_path):
    flow = affine(spread=3.0, preprocess=Standardise((3,), torch.ones(3), 2 * torch.ones(3)))
    save_flow(flow, tmp_path / "best.pt")
    loaded = load_flow(tmp_path / "best.pt")
    x = torch.randn(5, 3)
    assert isinstance(loaded.flow.module, Affine)
    assert torch.equal(loaded(x), flow(x))


def test_a_module_in_the_working_directory_is_found(tmp_path, monkeypatch):
    (tmp_path / "mine_alone.py").write_text("from users_flows import Gaussian\n")
    (tmp_path / "mine_broken.py").write_text("1 / 0\n")
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    assert create("mine_alone:Gaussian", (2,)).family_name == "mine_alone:Gaussian"
    with pytest.raises(InputError, match="cannot import mine_broken: ZeroDivisionError"):
        create("mine_broken:Flow", (2,))


def test_keys_of_any_type_and_without_annotation_are_taken():
    scale = torch.distributions.Normal(0.0, 1.0)
    flow = create("users_flows:Loose", (2,), base=scale, anything=[1, "two"])
    assert flow.flow.module.base is scale
    assert flow.flow.module.anything == [1, "two"]
