from math import log

import numpy as np
import pytest
import torch
from planted import Affine, Discrete, Logistic, given, pixels
from scipy.special import logsumexp
from scipy.stats import logistic

from flowbench.evaluation import evaluate
from flowbench.evaluation.importance import MOST_NOISE, importance_weighted, refusal
from flowbench.evaluation.likelihood import score_draws
from flowbench.families.foreign import ForeignFlow
from flowbench.spec.run import EvaluationSpec


def weighted(flow, data, draws):
    scores = score_draws(flow, data, "validation", draws=draws)
    return importance_weighted(scores, flow, "validation").metrics, scores


@pytest.mark.parametrize("draws", [4, 16, 256])
def test_it_closes_the_gap_to_the_code_length_as_one_over_the_draws(draws):
    """By the delta method the gap is half the variance of log p over the draws, divided by K."""
    rows = 2000
    data = pixels(levels=4, rows=rows)
    flow = ForeignFlow(Logistic, data.info.event_shape)
    curve = logistic(1.5, 0.7)
    mass = np.log([curve.cdf(k + 1) - curve.cdf(k) for k in range(4)])
    x = data.source.splits["validation"].pool.x.reshape(rows, -1)
    exact = mass[x].sum(1).mean()

    found, scores = weighted(flow, data, draws)

    variance = float(scores.log_prob.var(0).mean())
    error = (variance / draws / rows) ** 0.5
    assert exact - float(scores.log_prob.mean()) > 0.06  # what averaging loses at any K
    assert exact - found["val/nats_iw"] == pytest.approx(variance / 2 / draws, abs=4 * error)
    assert found["val/bits_per_dim_iw"] == pytest.approx(-found["val/nats_iw"] / (4 * log(2)))


def test_it_is_the_logarithm_of_the_mean_density_of_each_point(digits, flow_for):
    flow = flow_for(digits, "realnvp", depth=1, hidden=(8,))
    found, scores = weighted(flow, digits, 5)
    draws = []
    with torch.no_grad():
        for draw in range(5):
            x = torch.cat([batch.x for batch in digits.batches("validation", draw=draw)])
            draws.append(flow(x).double().numpy())
    expected = logsumexp(draws, axis=0) - log(5)
    assert scores.log_prob.shape == (5, 180)
    assert found["val/nats_iw"] == pytest.approx(expected.mean(), rel=1e-5)
    assert found["val/nats_iw_se"] == pytest.approx(expected.std(ddof=1) / 180**0.5, rel=1e-4)
    assert found["val/nats_iw"] > float(scores.log_prob.mean())


def test_a_density_constant_between_integers_gains_nothing():
    data = pixels(levels=4)
    flow = ForeignFlow(
        Discrete, data.info.event_shape, probabilities=np.array([0.4, 0.3, 0.2, 0.1])
    )
    found, scores = weighted(flow, data, 4)
    assert found["val/nats_iw"] == pytest.approx(float(scores.log_prob[0].mean()), rel=1e-9)


def test_an_evaluation_has_it_on_request_beside_the_plain_average(digits, flow_for):
    flow = flow_for(digits, "realnvp", depth=1, hidden=(8,))
    spec = EvaluationSpec(speed=False, draws=2, inversion_points=4)
    plain = evaluate(flow, digits, spec)
    found = evaluate(flow, digits, spec.model_copy(update={"importance_draws": 6}))
    assert found.metrics["val/nats"] == plain.metrics["val/nats"]
    assert found.metrics["val/nats_iw"] > plain.metrics["val/nats"]
    assert (found.labels["draws"], found.labels["iw_draws"]) == ("2", "6")
    assert not [name for name in plain.metrics if "_iw" in name]


def wide_integers():
    rows = np.random.default_rng(0).integers(0, 9, size=(200, 130)).astype(np.float32)
    return given(rows, dequantised=tuple(range(130)))


def test_a_log_det_that_is_noise_is_refused_in_a_sentence(flow_for):
    data = wide_integers()
    flow = flow_for(data, "residual", depth=2, hidden=(16,), log_det="series", terms=4)
    sentence = refusal(flow, data, "validation")
    assert "a deviation of" in sentence
    assert f"at most {MOST_NOISE} is allowed" in sentence
    spec = EvaluationSpec(speed=False, importance_draws=3, inversion_points=4)
    found = evaluate(flow, data, spec)
    assert found.labels["importance"] == sentence
    assert not [name for name in found.metrics if "_iw" in name]


def test_an_estimate_of_little_noise_and_exact_log_dets_are_weighted(digits, flow_for):
    data = wide_integers()
    tame = flow_for(
        data, "residual", spread=0.0, depth=1, hidden=(4,), lipschitz=0.01, log_det="series"
    )
    assert tame.log_det_label == "estimate"
    assert refusal(tame, data, "validation") is None
    expanded = flow_for(digits, "residual", depth=1, hidden=(4,), log_det="roulette")
    assert refusal(expanded, digits, "validation") is None


class Guess(torch.nn.Module):
    log_det_label = "estimate"

    def __init__(self, event_shape):
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(()))

    def log_prob(self, x):
        return x.flatten(1).sum(1)

    def sample(self, n):
        raise NotImplementedError


def test_a_users_estimate_of_unknown_noise_and_data_without_draws_are_refused(table, digits):
    guess = ForeignFlow(Guess, (1, 8, 8))
    assert "unknown deviation" in refusal(guess, digits, "validation")
    assert "has no integers" in refusal(Affine(table), table, "validation")
