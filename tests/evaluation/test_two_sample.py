import numpy as np
import pytest

from flowbench.evaluation.two_sample import two_sample_test


def test_equal_distributions_are_rejected_as_often_as_the_level_says():
    """Hits are then a sum of fair coins: their scores have mean 0 and deviation 1."""
    random = np.random.default_rng(0)
    tests = [
        two_sample_test(random.normal(size=(600, 1)), random.normal(size=(600, 1)))
        for _ in range(400)
    ]
    rejected = np.mean([test.p < 0.05 for test in tests])
    assert 0.03 <= rejected <= 0.07
    scores = np.array([(test.accuracy - 0.5) / np.sqrt(0.25 / 600) for test in tests])
    assert abs(scores.mean()) < 4 / np.sqrt(400)
    assert scores.std() == pytest.approx(1, abs=4 / np.sqrt(2 * 400))


def test_a_shifted_mean_is_told_as_often_as_the_best_classifier_can():
    """Two normals one deviation apart are told by their midpoint in Phi(1/2) = 69.1 % of cases."""
    random = np.random.default_rng(1)
    test = two_sample_test(random.normal(size=(4000, 1)), 1 + random.normal(size=(4000, 1)))
    assert test.accuracy == pytest.approx(0.6915, abs=4 * test.se)
    assert test.se == pytest.approx(np.sqrt(0.6915 * 0.3085 / 4000), rel=0.02)
    assert test.p < 1e-100


def test_a_lost_correlation_is_found_though_every_column_is_right():
    random = np.random.default_rng(2)
    real, samples = random.normal(size=(2, 2000, 5))
    real[:, 4] = 0.6 * real[:, 0] + 0.8 * real[:, 4]
    assert two_sample_test(real, samples).p < 1e-4


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_told_from_real_points(broken):
    random = np.random.default_rng(3)
    real, samples = random.normal(size=(2, 1000, 2))
    assert two_sample_test(real, samples).p > 0.05
    samples[: len(samples) // 2, 0] = broken
    test = two_sample_test(real, samples)
    # Half of the samples are certain, the other points are told by chance.
    assert test.accuracy > 0.7
    assert test.p < 1e-10


def test_a_context_that_samples_do_not_heed_is_found():
    random = np.random.default_rng(4)
    context = random.normal(size=(2000, 1))
    real, heeding, careless = context + random.normal(size=(3, 2000, 1))
    careless = random.permutation(careless)
    with_context = [np.hstack([x, context]) for x in (real, heeding, careless)]
    assert two_sample_test(real, careless).p > 0.01
    assert two_sample_test(with_context[0], with_context[1]).p > 0.01
    assert two_sample_test(with_context[0], with_context[2]).p < 1e-6


def test_the_same_rows_give_the_same_answer():
    real, samples = np.random.default_rng(5).normal(size=(2, 300, 2))
    assert two_sample_test(real, samples) == two_sample_test(real.copy(), samples.copy())
