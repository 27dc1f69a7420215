"""Means, paired differences and the Pareto front against closed forms and brute force."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from flowbench.compare.statistics import paired_difference, pareto_front, seed_mean


def test_seed_mean_adds_the_seeds_scatter_to_the_points_error():
    estimate = seed_mean([2.0, 2.1, 2.4], [0.03, 0.04, 0.05])
    assert estimate.mean == pytest.approx(6.5 / 3)
    scatter = stats.sem([2.0, 2.1, 2.4])
    assert estimate.se == pytest.approx(math.sqrt(scatter**2 + (0.0009 + 0.0016 + 0.0025) / 3))


def test_one_seed_has_the_error_of_its_points_and_none_at_all_is_unknown():
    assert seed_mean([1.5], [0.02]).se == pytest.approx(0.02)
    assert seed_mean([1.0, 3.0], [math.nan, math.nan]).se == pytest.approx(1.0)
    assert math.isnan(seed_mean([1.5], [math.nan]).se)


def test_the_error_covers_the_truth_when_seeds_and_points_vary():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        points = rng.normal(0, 1, 200)
        runs = points + rng.normal(0, 0.1, (8, 1)) + rng.normal(0, 0.3, (8, 200))
        estimate = seed_mean(runs.mean(1), runs.std(1, ddof=1) / math.sqrt(200))
        inside += abs(estimate.mean) < 2 * estimate.se
    assert 0.92 < inside / 400 < 0.99


def test_a_paired_difference_of_single_seeds_is_the_paired_t_statistic():
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 5, 300)
    a, b = hard + rng.normal(0.4, 0.5, 300), hard + rng.normal(0, 0.5, 300)
    estimate = paired_difference(pd.DataFrame({"a": a}), pd.DataFrame({"b": b}))
    expected = stats.ttest_rel(a, b)
    assert estimate.mean / estimate.se == pytest.approx(expected.statistic)
    assert estimate.se < 0.2 * stats.sem(a)


def test_a_paired_difference_uses_shared_points_only_and_adds_the_seeds_variance():
    ours = pd.DataFrame({"s0": [1.0, 2.0, 4.0], "s1": [1.4, 2.4, 4.4]}, index=[3, 5, 9])
    theirs = pd.DataFrame({"t0": [0.0, 1.0, 9.0]}, index=[5, 9, 11])
    estimate = paired_difference(ours, theirs)
    differences = [2.2 - 0.0, 4.2 - 1.0]
    assert estimate.mean == pytest.approx(np.mean(differences))
    seeds = np.var([3.0, 3.4], ddof=1) / 2
    assert estimate.se == pytest.approx(math.sqrt(np.var(differences, ddof=1) / 2 + seeds))
    assert math.isnan(paired_difference(ours, theirs.loc[[11]]).mean)


@pytest.mark.parametrize("seed", range(5))
def test_the_pareto_front_is_that_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    # Small integers, so that there are ties and copies.
    bits, speed = rng.integers(0, 6, 40).astype(float), rng.integers(0, 6, 40).astype(float)
    bits[3] = math.nan
    front = pareto_front({"bits": bits, "speed": speed}, {"bits": True, "speed": False})
    for i in range(40):
        beaten = any(
            bits[j] <= bits[i]
            and speed[j] >= speed[i]
            and (bits[j], speed[j]) != (bits[i], speed[i])
            for j in range(40)
        )
        assert front[i] == (not beaten and not math.isnan(bits[i]))
