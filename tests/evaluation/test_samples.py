import numpy as np
import pytest
import torch
from planted import Affine

from flowbench.errors import InputError
from flowbench.evaluation.samples import draw, save_samples


def test_samples_follow_the_density(table):
    flow = Affine(table)
    mean, covariance = flow.gaussian()
    x = draw(flow, 20_000).numpy()
    error = np.sqrt(np.diag(covariance) / 20_000)
    assert np.all(np.abs(x.mean(0) - mean) < 4 * error)
    np.testing.assert_allclose(np.cov(x.T), covariance, rtol=0.1, atol=0.05 * covariance.max())


def test_the_temperature_scales_the_spread(table):
    flow = Affine(table)
    cold, warm = draw(flow, 5000, temperature=0.5), draw(flow, 5000)
    mean = torch.from_numpy(flow.gaussian()[0])
    torch.testing.assert_close(cold - mean, 0.5 * (warm - mean))


def test_a_seed_names_its_samples_whatever_was_drawn_before(table):
    flow = Affine(table)
    first = draw(flow, 1500, seed=3)
    torch.rand(7)
    assert torch.equal(draw(flow, 1500, seed=3), first)
    assert not torch.equal(draw(flow, 1500, seed=4), first)
    assert len(first.unique(dim=0)) == 1500


def test_images_are_kept_as_integers_beside_the_real_ones(digits, flow_for, tmp_path):
    flow = flow_for(digits, "nice", depth=2, hidden=(8,))
    save_samples(flow, digits, "validation", 5, tmp_path / "samples.npz")
    with np.load(tmp_path / "samples.npz", allow_pickle=False) as kept:
        drawn, real = kept["flow"], kept["data"]
    assert drawn.shape == real.shape == (5, 1, 8, 8)
    assert ((drawn == drawn.round()) & (drawn >= 0) & (drawn <= 16)).all()
    np.testing.assert_array_equal(real, digits.source.splits["validation"].take(np.arange(5)).x)


def test_of_tables_a_thousand_rows_are_kept_at_the_contexts_of_real_ones(
    conditional, flow_for, tmp_path
):
    flow = flow_for(conditional, "realnvp", depth=2, hidden=(8,))
    save_samples(flow, conditional, "validation", 5, tmp_path / "samples.npz")
    with np.load(tmp_path / "samples.npz", allow_pickle=False) as kept:
        assert kept["flow"].shape == (1000, 2)
        assert kept["data"].shape == (conditional.info.sizes["validation"], 2)


def test_a_conditional_flow_without_a_context_is_refused_in_a_sentence(conditional, flow_for):
    flow = flow_for(conditional, "realnvp", depth=2, hidden=(8,))
    with pytest.raises(InputError, match="context"):
        draw(flow, 3)
