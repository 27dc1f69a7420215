"""Pairs of families: means, tests and verdicts against other libraries."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from small_table import DIMENSIONS, LN2, confirmed, table_of
from statsmodels.stats.multitest import multipletests

from flowbench.compare.differences import differences_table

BITS = DIMENSIONS * LN2
LEVELS = {"glow": 0.0, "nice": -0.02, "planar": -0.6, "residual": -0.9}


def scores(rng, seeds=5, levels=LEVELS, scatter=0.1):
    """Log densities of each family, `(points, seeds)`, on points that are hard for all alike."""
    hard = rng.normal(-6, 2, (60, 1))
    return {
        family: hard + level + scatter * rng.normal(0, 1, seeds) + rng.normal(0, 0.3, (60, seeds))
        for family, level in levels.items()
    }


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    made = scores(np.random.default_rng(3))
    runs = [run for family, nats in made.items() for run in confirmed(family, nats)]
    frame, table = table_of(tmp_path_factory.mktemp("pairs"), *runs)
    return made, differences_table(frame, table)


def test_every_pair_is_there_once_the_better_family_first(pairs):
    made, table = pairs
    names = {frozenset(pair) for pair in table[["family", "other"]].itertuples(index=False)}
    assert len(table) == len(names) == 6
    for row in table.to_dict("records"):
        behind = made[row["family"]].mean() - made[row["other"]].mean()
        assert row["difference"] == pytest.approx(behind / BITS)
        assert row["difference"] >= 0


def test_the_test_is_a_t_test_and_holms_correction_counts_every_pair(pairs):
    _, table = pairs
    t = table["difference"] / table["se"]
    np.testing.assert_allclose(table["p"], 2 * stats.t.sf(t, table["df"]))
    np.testing.assert_allclose(table["p_holm"], multipletests(table["p"], method="holm")[1])
    low, high = stats.t.interval(0.95, table["df"], table["difference"], table["se"])
    np.testing.assert_allclose(table[["low", "high"]], np.stack([low, high], axis=1))


def test_verdicts_say_what_was_planted(pairs):
    _, table = pairs
    close = (table["family"].isin(["glow", "nice"])) & (table["other"].isin(["glow", "nice"]))
    assert list(table[close]["verdict"]) == ["not told apart"]
    assert set(table[~close]["verdict"]) == {"different"}


def test_there_is_no_test_below_five_seeds(tmp_path):
    made = scores(np.random.default_rng(4), seeds=4)
    made["glow"] = scores(np.random.default_rng(5))["glow"]
    runs = [run for family, nats in made.items() for run in confirmed(family, nats)]
    frame, table = table_of(tmp_path, *runs)
    found = differences_table(frame, table)
    assert found["p"].isna().all()
    assert set(found["verdict"]) == {"not tested"}
    assert found["se"].notna().all()


def test_families_that_are_alike_are_rarely_called_different():
    """Under the null Holm keeps the chance of any claim among six pairs near five per cent."""
    from flowbench.compare.differences import compared

    rng = np.random.default_rng(6)
    claims, rounds = 0, 200
    for _ in range(rounds):
        made = scores(rng, levels=dict.fromkeys("abcd", 0.0), scatter=0.2)
        bits = [-nats.mean() / BITS for nats in made.values()]
        rows = pd.DataFrame({
            "data": "x", "data_hash": "h", "preprocess": "", "family": list(made), "rank": 1.0,
            "seeds": 5, "dimensions": 4.0, "bits_per_dim": bits,
        })  # fmt: skip
        frames = {family: pd.DataFrame(nats) for family, nats in made.items()}
        found = compared(rows.sort_values("bits_per_dim"), frames)
        claims += bool((found["verdict"] == "different").any())
    print(f"any false claim in {100 * claims / rounds:.1f} % of rounds")
    assert claims / rounds < 0.08


def test_without_results_by_point_a_difference_has_no_error(tmp_path):
    made = scores(np.random.default_rng(7))
    runs = [*confirmed("glow", made["glow"]), *confirmed("planar", made["planar"], points=None)]
    frame, table = table_of(tmp_path, *runs)
    row = differences_table(frame, table).iloc[0]
    assert row["difference"] == pytest.approx((made["glow"] - made["planar"]).mean() / BITS)
    assert math.isnan(row["se"])
    assert row["verdict"] == "not tested"


def test_one_family_alone_has_no_pairs(tmp_path):
    frame, table = table_of(tmp_path, *confirmed("glow", scores(np.random.default_rng(8))["glow"]))
    assert differences_table(frame, table).empty
