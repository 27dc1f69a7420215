from math import log

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from planted import Affine, Discrete, Logistic, given, pixels
from scipy.integrate import quad
from scipy.stats import logistic, multivariate_normal

from flowbench.evaluation.likelihood import measure_likelihood, score_split
from flowbench.evaluation.measuring import held_out_context
from flowbench.families.foreign import ForeignFlow
from flowbench.numerics.series import truncation_bias


def held_out(data, split="validation"):
    return torch.cat([batch.x for batch in data.batches(split)]).double().numpy()


def measured(flow, data, split="validation", **options):
    return measure_likelihood(score_split(flow, data, split, **options), flow, data, split)


def test_an_affine_flow_has_the_likelihood_of_its_gaussian(table):
    flow = Affine(table)
    mean, covariance = flow.gaussian()
    expected = multivariate_normal(mean, covariance).logpdf(held_out(table))

    found = measured(flow, table)

    count, dim = len(expected), 3
    assert found["val/nats"] == pytest.approx(expected.mean(), rel=1e-9)
    assert found["val/nats_se"] == pytest.approx(expected.std(ddof=1) / count**0.5, rel=1e-9)
    assert found["val/bits_per_dim"] == pytest.approx(-expected.mean() / (dim * log(2)), rel=1e-9)
    assert found["val/bits_per_dim_se"] == pytest.approx(found["val/nats_se"] / (dim * log(2)))
    assert (found["val/points"], found["val/nonfinite"]) == (count, 0)


def test_nats_in_standardised_units_are_those_of_the_standardised_data(table):
    flow = Affine(table)
    mean, covariance = flow.gaussian()
    scale = held_out(table, "train").std(0)
    standardised = multivariate_normal(mean / scale, covariance / np.outer(scale, scale))
    expected = standardised.logpdf(held_out(table) / scale).mean()
    assert measured(flow, table)["val/nats_standardised"] == pytest.approx(expected, rel=1e-9)


def test_the_gain_is_over_the_gaussian_of_the_training_data(table):
    flow = Affine(table)
    train, x = held_out(table, "train"), held_out(table)
    baseline = multivariate_normal(train.mean(0), np.cov(train.T, ddof=0)).logpdf(x).mean()
    mean, covariance = flow.gaussian()
    ours = multivariate_normal(mean, covariance).logpdf(x).mean()
    expected = (ours - baseline) / (3 * log(2))
    assert expected < -0.05
    assert measured(flow, table)["val/gain_over_gaussian"] == pytest.approx(expected, abs=1e-6)


def test_the_excess_is_over_the_true_density_on_the_same_points(moons):
    flow = Affine(moons)
    mean, covariance = flow.gaussian()
    x = held_out(moons)
    excess = moons.source.density.log_prob(x) - multivariate_normal(mean, covariance).logpdf(x)

    found = measured(flow, moons)

    assert excess.mean() > 0.5
    assert found["val/excess_over_entropy"] == pytest.approx(excess.mean(), rel=1e-6)
    error = excess.std(ddof=1) / len(x) ** 0.5
    assert found["val/excess_over_entropy_se"] == pytest.approx(error, rel=1e-6)


def test_the_excess_of_the_true_density_is_zero(moons):
    class Truth(torch.nn.Module):
        def __init__(self, event_shape):
            super().__init__()
            self.anchor = torch.nn.Parameter(torch.zeros(()))

        def log_prob(self, x):
            return torch.from_numpy(moons.source.density.log_prob(x.double().numpy()))

        def sample(self, n):
            raise NotImplementedError

    found = measured(ForeignFlow(Truth, (2,)), moons)
    assert found["val/excess_over_entropy"] == pytest.approx(0, abs=1e-12)
    assert found["val/nats"] == pytest.approx(-moons.source.density.entropy, abs=0.03)


@pytest.mark.parametrize("draws", [1, 3])
def test_a_density_constant_between_integers_costs_its_code_length(draws):
    """Here the dequantised bound is tight: no draw changes anything."""
    data = pixels(levels=4)
    probabilities = np.array([0.4, 0.3, 0.2, 0.1])
    flow = ForeignFlow(Discrete, data.info.event_shape, probabilities=probabilities)
    x = data.source.splits["validation"].pool.x.reshape(300, -1)
    bits = -np.log2(probabilities)[x].sum(1) / 4

    found = measured(flow, data, draws=draws)

    assert found["val/bits_per_dim"] == pytest.approx(bits.mean(), rel=1e-6)
    assert found["val/bits_per_dim_se"] == pytest.approx(bits.std(ddof=1) / 300**0.5, rel=1e-6)


def test_draws_average_to_the_integral_over_the_noise_and_bound_the_code_length():
    data = pixels(levels=4)
    flow = ForeignFlow(Logistic, data.info.event_shape)
    curve = logistic(1.5, 0.7)
    integral = np.array([quad(lambda u, k=k: curve.logpdf(k + u), 0, 1)[0] for k in range(4)])
    exact = np.log([curve.cdf(k + 1) - curve.cdf(k) for k in range(4)])
    x = data.source.splits["validation"].pool.x.reshape(300, -1)

    points = score_split(flow, data, "validation", draws=32)

    z = (points.log_prob.numpy() - integral[x].sum(1)) / points.se.numpy()
    assert abs(z.mean()) < 4 / 300**0.5
    assert 0.8 < z.std() < 1.25
    assert points.log_prob.mean() < exact[x].sum(1).mean()
    assert not points.estimated


def test_more_draws_than_one_are_taken_only_where_there_is_noise(table):
    points = score_split(Affine(table), table, "validation", draws=5)
    assert (points.se == 0).all()


def test_the_batch_size_changes_nothing(digits, flow_for):
    flow = flow_for(digits, "realnvp", depth=2, hidden=(8,))
    whole = score_split(flow, digits, "validation", draws=2)
    parts = score_split(flow, digits, "validation", draws=2, batch_size=7)
    torch.testing.assert_close(parts.log_prob, whole.log_prob, rtol=1e-5, atol=1e-4)
    assert torch.equal(parts.row, whole.row)


def test_points_are_written_under_the_rows_of_the_data_set(table, tmp_path):
    points = score_split(Affine(table), table, "validation", batch_size=33)
    points.write(tmp_path / "points.parquet")
    read = pq.read_table(tmp_path / "points.parquet")
    assert read.column_names == ["row", "log_prob", "se"]
    assert read["row"].to_pylist() == list(table.source.splits["validation"].row)
    assert read["log_prob"].to_pylist() == points.log_prob.tolist()


class Broken(torch.nn.Module):
    """Gives a share of the points no likelihood."""

    def __init__(self, event_shape, value):
        super().__init__()
        self.anchor, self.value = torch.nn.Parameter(torch.zeros(())), value

    def log_prob(self, x):
        normal = -0.5 * x.square().sum(1)
        return torch.where(x[:, 0] > 1.5, self.value, normal)

    def sample(self, n):
        raise NotImplementedError


@pytest.mark.parametrize("value", [-torch.inf, torch.nan])
def test_values_that_are_not_finite_are_counted_and_never_dropped(table, value):
    flow = ForeignFlow(Broken, (3,), value=value, preprocess=table.preprocess())
    found = measured(flow, table)
    x = table.preprocess().encode_map(torch.from_numpy(held_out(table)).float())
    count = int((x[:, 0] > 1.5).sum())
    assert 0 < count < 50
    assert found["val/nonfinite"] == count
    assert not np.isfinite(found["val/bits_per_dim"])


def test_estimated_log_dets_state_their_own_error(flow_for):
    """Above 128 dimensions a residual flow's log-det is estimated, here from two probes."""
    noise = np.random.default_rng(0).normal(size=(200, 130)).astype(np.float32)
    data = given(noise)
    flow = flow_for(data, "residual", depth=2, hidden=(16,), log_det="series", terms=4)
    points = score_split(flow, data, "validation")
    flow.double()
    x = torch.from_numpy(noise).double()[:8]
    z, _ = flow.encode(x)
    jacobian = torch.autograd.functional.jacobian(lambda x: flow.encode(x)[0].sum(0), x)
    exact = flow.base.log_prob(z) + torch.linalg.slogdet(jacobian.transpose(0, 1))[1]

    found = measure_likelihood(points, flow, data, "validation")

    assert points.estimated
    assert flow.log_det_label == "estimate"
    bias = sum(truncation_bias(130, block.lipschitz, 4) for block in flow.blocks())
    assert found["val/log_det_bias_bound"] == pytest.approx(bias)
    error = (points.log_prob[:8] - exact.detach()).mean().abs()
    assert error < 5 * points.se[:8].square().sum().sqrt() / 8 + bias
    expected = float(points.se.square().sum().sqrt()) / len(points.se)
    assert found["val/estimator_se"] == pytest.approx(expected)


def test_conditional_densities_are_scored_at_the_context_of_each_row(conditional, flow_for):
    flow = flow_for(conditional, "realnvp", depth=2, hidden=(8,))
    points = score_split(flow, conditional, "validation", batch_size=9)
    batch = next(conditional.batches("validation", 1000))
    with torch.no_grad():
        expected = flow.log_prob(batch.x, batch.context)
        elsewhere = flow.log_prob(batch.x, batch.context.flip(0))
    torch.testing.assert_close(points.log_prob, expected.double(), rtol=1e-4, atol=1e-5)
    assert (expected - elsewhere).abs().max() > 1e-2
    context = held_out_context(flow, conditional, "validation", 100)
    assert torch.equal(context[len(batch) : 2 * len(batch)], batch.context)
