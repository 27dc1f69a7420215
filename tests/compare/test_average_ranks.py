"""Ranks over data sets against scipy, Demsar's published table and brute force."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from flowbench.compare.ranks import average_ranks, critical_difference, friedman

# Table 5(a) of Demsar, JMLR 2006: q at 0.05 for two to ten classifiers.
PUBLISHED_Q = (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)


def table_of(merit):
    """A leaderboard with these merits, a row a data set and a column a family; NaN is no cell."""
    rows = [
        {
            "data": data, "data_hash": "h", "preprocess": "", "family": family, "rank": 1.0,
            "merit": value,
        }
        for data, row in merit.iterrows()
        for family, value in row.items()
        if not math.isnan(value)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def merits(rng, data_sets=7, families=6, ties=False):
    values = rng.normal(0, 1, (data_sets, families)) + np.linspace(0, 2, families)
    return pd.DataFrame(
        values.round(0) if ties else values,
        index=[f"d{i}" for i in range(data_sets)], columns=[f"f{i}" for i in range(families)],
    )  # fmt: skip


@pytest.mark.parametrize("ties", [False, True])
def test_friedmans_test_is_that_of_scipy(ties):
    merit = merits(np.random.default_rng(0), ties=ties)
    expected = stats.friedmanchisquare(*merit.to_numpy().T)
    found = average_ranks(table_of(merit))
    assert (found.friedman, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    ranks = stats.rankdata(-merit.to_numpy(), axis=1).mean(axis=0)
    assert dict(zip(found.families, found.average, strict=True)) == pytest.approx(
        dict(zip(merit.columns, ranks, strict=True))
    )
    assert list(found.average) == sorted(found.average)


def test_families_that_always_tie_are_alike():
    assert friedman(np.full((6, 3), 2.0)) == (0.0, 1.0)


@pytest.mark.parametrize(("families", "q"), list(enumerate(PUBLISHED_Q, 2)))
def test_the_critical_difference_has_the_published_quantiles(families, q):
    expected = q * math.sqrt(families * (families + 1) / (6 * 14))
    assert critical_difference(families, 14) == pytest.approx(expected, rel=5e-4)


def test_the_critical_difference_of_the_papers_example():
    # Four classifiers on 14 data sets: "the critical difference ... is 2.569 sqrt(4 5 / 6 14)".
    assert round(critical_difference(4, 14), 2) == 1.25


@pytest.mark.parametrize("seed", range(6))
def test_the_bars_join_the_longest_chains_that_are_not_told_apart(seed):
    found = average_ranks(table_of(merits(np.random.default_rng(seed), data_sets=12)))
    rank = dict(zip(found.families, found.average, strict=True))
    chains = [
        found.families[i:j]
        for i in range(6)
        for j in range(i + 2, 7)
        if rank[found.families[j - 1]] - rank[found.families[i]] < found.critical_difference
    ]
    longest = {c for c in chains if not any(set(c) < set(other) for other in chains)}
    assert set(found.groups) == longest
    assert len(found.groups) == len(longest)


def test_four_data_sets_have_ranks_and_no_test():
    found = average_ranks(table_of(merits(np.random.default_rng(1), data_sets=4)))
    assert len(found.families) == 6
    assert math.isnan(found.friedman)
    assert math.isnan(found.critical_difference)
    assert found.groups == ()


def test_what_misses_cells_is_left_out_and_said():
    merit = merits(np.random.default_rng(2), data_sets=6)
    merit.loc[["d0", "d3", "d4"], "f2"] = math.nan
    merit.loc["d5", ["f0", "f1", "f3", "f4", "f5"]] = math.nan
    found = average_ranks(table_of(merit))
    assert found.left_out == ("d5", "f2")
    kept = merit.drop(index="d5", columns="f2")
    expected = stats.friedmanchisquare(*kept.to_numpy().T)
    assert found.friedman == pytest.approx(expected.statistic)
    assert set(found.table["data_sets"]) == {5}


def test_an_unranked_row_does_not_count_and_nothing_at_all_is_no_error():
    table = table_of(merits(np.random.default_rng(3)))
    table.loc[(table["family"] == "f5"), "rank"] = math.nan
    assert "f5" in average_ranks(table).left_out
    assert average_ranks(table.iloc[:0]).families == ()


def test_of_two_protocols_of_one_data_set_the_one_with_more_families_counts():
    table = table_of(merits(np.random.default_rng(4)))
    other = table[(table["data"] == "d0") & (table["family"].isin(["f0", "f1"]))]
    other = other.assign(preprocess="logit", merit=[9.0, -9.0])
    found = average_ranks(pd.concat([other, table], ignore_index=True))
    assert found.average == average_ranks(table).average
