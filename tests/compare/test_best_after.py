"""The expected best of k trials against enumeration, and the table made of it."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from synthetic_record import Record, RecordedRun

from flowbench.compare.best_after import (
    best_after_table,
    choice_weights,
    expected_best,
    winners_table,
)
from flowbench.compare.runs import load


def test_the_expected_best_is_the_mean_over_every_choice_of_trials():
    values = [2.5, 1.1, 1.1, 3.0, 1.7, 2.0]
    found = expected_best(values)
    for k in range(1, 7):
        every = [min(chosen) for chosen in itertools.combinations(values, k)]
        assert found[k - 1] == pytest.approx(np.mean(every))


@pytest.mark.parametrize("n", [1, 2, 400])
def test_the_weights_of_a_choice_are_chances(n):
    weights = choice_weights(n)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights[0], 1 / n)
    np.testing.assert_allclose(weights[-1], [1, *[0] * (n - 1)], atol=1e-15)


def trial(family, number, value, **changes):
    labels = {"log_det": "exact", "data": "density", "preprocess": "[]"}
    metrics = {"epochs": 20.0, "device_seconds": 3.0 + number}
    if value is not None:
        metrics["val/bits_per_dim"] = value
    return RecordedRun(
        f"{family}.{number}", family, "table", metrics=metrics, labels=labels, **changes
    )


VALUES = {"glow": [1.5, 1.45, 1.48, 1.44], "nice": [2.5, 1.2, 2.6, 2.4]}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A steady family, a family with one lucky trial, and failures."""
    record = Record(tmp_path_factory.mktemp("searched"))
    for family, values in VALUES.items():
        for number, value in enumerate(values):
            record.add(trial(family, number, value))
    record.add(trial("planar", 0, 1.9))
    record.add(trial("planar", 1, 0.1, outcome="diverged"))
    record.add(trial("planar", 2, 1.6, outcome="pruned"))
    early = RecordedRun(
        "planar.3", "planar", "table", outcome="code_error", tags={"flowbench.data_hash": ""}
    )
    record.add(early)
    record.add(RecordedRun("planar.4", "planar", "table", outcome=""))
    record.add(trial("sylvester", 0, None, outcome="diverged"))
    return best_after_table(load(record.uri))


def test_every_family_has_a_curve_over_its_own_trials(searched):
    for family, values in VALUES.items():
        mine = searched[searched["family"] == family]
        assert list(mine["trials"]) == [1, 2, 3, 4]
        np.testing.assert_allclose(mine["expected"], expected_best(values))
        assert (mine["low"] <= mine["expected"]).all()
        assert (mine["expected"] <= mine["high"]).all()
        assert list(mine["spent"]) == [20, 40, 60, 80]
        assert list(mine["device_seconds"]) == [4.5, 9, 13.5, 18]
        assert set(mine["unit"]) == {"epochs"}
    assert "sylvester" not in set(searched["family"])  # no trial of it came to anything


def test_failures_count_as_the_worst_and_pruned_trials_with_what_they_reached(searched):
    planar = searched[searched["family"] == "planar"]
    np.testing.assert_allclose(planar["expected"], expected_best([1.9, 1.9, 1.6, 1.9]))


def test_the_interval_is_that_of_resampled_trials(searched):
    rng = np.random.default_rng(1)
    means = [np.mean(rng.choice(VALUES["nice"], 4)) for _ in range(20_000)]
    first = searched[(searched["family"] == "nice") & (searched["trials"] == 1)].iloc[0]
    assert (first["low"], first["high"]) == pytest.approx(
        tuple(np.percentile(means, [2.5, 97.5])), abs=0.08
    )


def test_who_wins_depends_on_the_budget(searched):
    by_trials = searched.groupby("trials")["wins"].sum()
    np.testing.assert_allclose(by_trials, 1)
    # All four trials of nice are its bad ones in (3/4)^4 of the resamples; glow wins then.
    last = searched[(searched["trials"] == 4)].set_index("family")["wins"]
    assert last["nice"] == pytest.approx(1 - 0.75**4, abs=0.03)
    winners = winners_table(searched)
    assert list(winners["family"]) == ["glow", "nice"]
    assert (winners["first"].iloc[0], winners["last"].iloc[-1]) == (1, 4)
    assert winners["first"].iloc[1] == winners["last"].iloc[0] + 1
    assert winners["spent"].iloc[-1] == 80


def test_sweeps_are_not_mixed_and_no_tuning_gives_an_empty_table(tmp_path):
    record = Record(tmp_path)
    record.add(trial("glow", 0, 1.0, sweep="one"))
    record.add(trial("glow", 1, 2.0, sweep="two"))
    table = best_after_table(load(record.uri))
    assert list(table["sweep"]) == ["one", "two"]
    assert list(table["expected"]) == [1.0, 2.0]
    (tmp_path / "single").mkdir()
    single = Record(tmp_path / "single")
    single.add(trial("glow", 0, 1.0, stage="single", sweep=""))
    empty = best_after_table(load(single.uri))
    assert empty.empty
    assert winners_table(empty).empty


def test_a_worse_end_that_is_not_finite_is_a_failure(tmp_path):
    record = Record(tmp_path)
    for number, value in enumerate([1.0, math.inf, 3.0]):
        record.add(trial("glow", number, value))
    table = best_after_table(load(record.uri))
    np.testing.assert_allclose(table["expected"], expected_best([1.0, 3.0, 3.0]))
    assert isinstance(table, pd.DataFrame)
