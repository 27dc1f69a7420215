"""Means, paired differences, Holm's correction and the Pareto front against other ways to them."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from flowbench.compare.statistics import (
    Estimate,
    crossed_mean,
    holm,
    p_value,
    paired_difference,
    pareto_front,
    seed_mean,
)


def scores_of(rng, points=40, seeds=5, scatter=0.3):
    hard = rng.normal(0, 2, (points, 1))
    return pd.DataFrame(
        hard + rng.normal(0, scatter, (1, seeds)) + rng.normal(0, 0.5, (points, seeds))
    )


def mean_squares(scores):
    """The two-way analysis of variance without replication, by least squares."""
    long = scores.rename_axis("point").reset_index().melt("point", var_name="seed", value_name="y")
    table = anova_lm(ols("y ~ C(point) + C(seed)", long).fit())
    return (table["sum_sq"] / table["df"]).rename(
        {"C(point)": "B", "C(seed)": "A", "Residual": "R"}
    )


@pytest.mark.parametrize("scatter", [0.0, 0.3])
def test_the_crossed_mean_is_made_of_the_mean_squares_of_a_two_way_analysis(scatter):
    scores = scores_of(np.random.default_rng(8), scatter=scatter)
    a, b, r = mean_squares(scores)[["A", "B", "R"]]
    assert (a < r) == (scatter == 0)  # both sides of the maximum
    total = max(a - r, 0) + b
    found = crossed_mean(scores)
    assert found.mean == pytest.approx(scores.to_numpy().mean())
    assert found.se**2 == pytest.approx(total / (5 * 40))
    assert found.df == pytest.approx(total**2 / (a**2 / 4 + b**2 / 39 + r**2 / (4 * 39)))
    low, high = stats.t.interval(0.95, found.df, found.mean, found.se)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_one_seed_has_the_t_interval_of_its_points():
    scores = scores_of(np.random.default_rng(2), seeds=1)
    found = crossed_mean(scores)
    interval = stats.ttest_1samp(scores[0], 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(interval))


def test_a_score_that_is_no_number_leaves_no_interval():
    scores = scores_of(np.random.default_rng(3))
    scores.iloc[4, 2] = -math.inf
    found = crossed_mean(scores)
    assert found.mean == -math.inf
    assert math.isnan(found.se)
    assert math.isnan(found.low)


N, REPLICATIONS = 100, 3000


def simulated(rng, seeds, scatter, rest, heavy):
    """Scores of random seeds on random points around a mean of 0, `(REPLICATIONS, N, seeds)`.

    Returns:
        The scores, and the points' part of them, `(REPLICATIONS, N, 1)`.
    """
    shape = (REPLICATIONS, N, 1)
    hard = rng.standard_t(5, shape) / math.sqrt(5 / 3) if heavy else rng.standard_normal(shape)
    hard = hard.astype(np.float32)
    noise = rest * rng.standard_normal((REPLICATIONS, N, seeds), dtype=np.float32)
    return hard + scatter * rng.standard_normal((REPLICATIONS, 1, seeds)) + noise, hard


def covered(estimates, truth=0.0):
    return np.mean([e.low <= truth <= e.high for e in estimates])


# The seeds' deviation in units of the s.e. of one seed's mean over the points: none to dominating.
@pytest.mark.parametrize(
    ("rest", "heavy"), [(0.5, False), (0.5, True), (2.0, False)], ids=["normal", "t5", "noisy"]
)
@pytest.mark.parametrize("ratio", [0.0, 1.0, 2.0, 4.0, 16.0])
def test_the_interval_of_a_mean_over_five_seeds_covers_what_it_says(ratio, rest, heavy):
    rng = np.random.default_rng(5)
    y, _ = simulated(rng, 5, ratio * math.hypot(1, rest) / math.sqrt(N), rest, heavy)
    share = covered([crossed_mean(pd.DataFrame(one)) for one in y])
    print(f"seeds {ratio:g}, rest {rest:g}, heavy {heavy}: {100 * share:.1f} % covered")
    assert share >= 0.93
    if ratio:
        assert share <= 0.97


@pytest.mark.parametrize("ratio", [0.0, 1.0, 4.0])
def test_the_interval_of_a_difference_over_five_seeds_covers_what_it_says(ratio):
    rng = np.random.default_rng(6)
    ours, hard = simulated(rng, 5, ratio / math.sqrt(N), 0.3, heavy=True)
    theirs, other = simulated(rng, 5, ratio / math.sqrt(N), 0.4, heavy=True)
    theirs += hard - 0.8 * other  # most of what makes a point hard is hard for both
    pairs = zip(ours[:2000], theirs[:2000], strict=True)
    estimates = [paired_difference(pd.DataFrame(a), pd.DataFrame(b)) for a, b in pairs]
    share = covered(estimates)
    print(f"difference, seeds {ratio:g} s.e. of the points: {100 * share:.1f} % covered")
    assert share >= 0.93
    if ratio:
        assert share <= 0.97
    # A test at 5 % that finds nothing but chance finds as little.
    assert np.mean([p_value(e) < 0.05 for e in estimates]) == pytest.approx(1 - share, abs=1e-9)


def test_seed_mean_adds_the_seeds_scatter_to_the_points_error():
    estimate = seed_mean([2.0, 2.1, 2.4], [0.03, 0.04, 0.05])
    assert estimate.mean == pytest.approx(6.5 / 3)
    scatter = stats.sem([2.0, 2.1, 2.4])
    points = (0.0009 + 0.0016 + 0.0025) / 3
    assert estimate.se == pytest.approx(math.sqrt(scatter**2 + points))
    assert estimate.df == pytest.approx((scatter**2 + points) ** 2 / (scatter**4 / 2))


def test_one_seed_has_the_error_of_its_points_and_none_at_all_is_unknown():
    assert seed_mean([1.5], [0.02]).se == pytest.approx(0.02)
    assert seed_mean([1.5], [0.02]).half_width == pytest.approx(0.02 * stats.norm.ppf(0.975))
    assert seed_mean([1.0, 3.0], [math.nan, math.nan]).se == pytest.approx(1.0)
    assert math.isnan(seed_mean([1.5], [math.nan]).se)


def test_a_paired_difference_of_single_seeds_is_the_paired_t_test():
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 5, 300)
    a, b = hard + rng.normal(0.1, 0.5, 300), hard + rng.normal(0, 0.5, 300)
    estimate = paired_difference(pd.DataFrame({"a": a}), pd.DataFrame({"b": b}))
    expected = stats.ttest_rel(a, b)
    assert estimate.mean / estimate.se == pytest.approx(expected.statistic)
    assert p_value(estimate) == pytest.approx(expected.pvalue)
    assert estimate.se < 0.2 * stats.sem(a)


def test_where_points_do_not_matter_the_difference_is_welchs_test_over_seeds():
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.5, 1, 5), rng.normal(0, 3, 7)
    points = rng.normal(0, 1e-6, (50, 1))
    estimate = paired_difference(pd.DataFrame(a + points), pd.DataFrame(b + points))
    expected = stats.ttest_ind(a, b, equal_var=False)
    assert p_value(estimate) == pytest.approx(expected.pvalue, rel=1e-6)
    assert estimate.df == pytest.approx(expected.df, rel=1e-6)


def test_a_paired_difference_uses_shared_points_only_and_adds_the_seeds_variance():
    rng = np.random.default_rng(4)
    ours = scores_of(rng, seeds=3, scatter=1.0)
    theirs = scores_of(rng, seeds=2, scatter=1.0).set_axis(range(10, 50))
    estimate = paired_difference(ours, theirs)
    a, b = ours.loc[10:39], theirs.loc[10:39]
    d = a.mean(axis=1) - b.mean(axis=1)
    assert len(d) == 30
    assert estimate.mean == pytest.approx(d.mean())
    variance = d.var(ddof=1) / 30
    for side in (a, b):
        squares = mean_squares(side)
        variance += max(squares["A"] - squares["R"], 0) / side.size
    assert estimate.se == pytest.approx(math.sqrt(variance))
    assert math.isnan(paired_difference(ours, theirs.loc[[45]]).mean)


def test_no_error_means_no_test():
    assert math.isnan(p_value(Estimate(1.0, math.nan)))
    assert math.isnan(p_value(Estimate(1.0, 0.0)))


@pytest.mark.parametrize(
    "p",
    [
        [0.01, 0.04, 0.03, 0.005], [0.2], [0.5, 0.5, 0.5], [0.001, 0.9, 0.02, 0.02, 0.6, 0.04],
        [1.0, 0.0, 0.03],
    ],
)  # fmt: skip
def test_holms_correction_is_that_of_statsmodels(p):
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])


def test_a_comparison_that_was_not_tested_is_not_counted():
    found = holm([0.01, math.nan, 0.03])
    np.testing.assert_allclose(found[[0, 2]], multipletests([0.01, 0.03], method="holm")[1])
    assert math.isnan(found[1])
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("objectives", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_the_pareto_front_is_that_of_brute_force(seed, objectives):
    rng = np.random.default_rng(seed)
    # Small integers, so that there are ties and copies.
    values = rng.integers(0, 6, (40, objectives)).astype(float)
    values[3, 0] = math.nan
    lower = dict(zip("abc", (True, False, True)[:objectives], strict=False))
    front = pareto_front(dict(zip(lower, values.T, strict=True)), lower)
    signed = values * [1 if low else -1 for low in lower.values()]
    for i in range(40):
        beaten = any(
            all(signed[j] <= signed[i]) and any(signed[j] < signed[i]) for j in range(40) if j != 3
        )
        assert front[i] == (i != 3 and not beaten)
