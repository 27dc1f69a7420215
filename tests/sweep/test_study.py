"""The search of one family, against Optuna's own storage and against brute force."""

import itertools
import math

import optuna
import pytest
from optuna.trial import TrialState
from scipy import stats
from stand_in_sweep import tiny_sweep

from flowbench.run_directory import TrialResult
from flowbench.spec.distributions import Distribution
from flowbench.sweep.constraints import FAILURE
from flowbench.sweep.space import grid, suggest, trial_count
from flowbench.sweep.storage import open_storage
from flowbench.sweep.study import WORST, Search

CONDITIONAL = {
    "family.network": ["mlp", "conv"],
    "family.hidden": {"choice": [[64], [128, 128]], "when": {"family.network": "mlp"}},
    "family.kernel": {"int": [3, 5], "when": {"family.network": "conv"}},
}


def search_of(path, **changes):
    sweep = tiny_sweep(**changes)
    return Search(open_storage(path / "optuna.db"), sweep, next(iter(sweep.families)), "moons")


def finish(search, asked, outcome="completed", value=None, *, baseline=math.nan, epochs=3, **more):
    if value is None and outcome == "completed":
        value = abs(math.log10(asked.values["training.learning_rate"]) + 3)
    metrics = {"val/bits_per_dim": math.nan if value is None else value}
    result = TrialResult(outcome=outcome, metrics={**metrics, **more}, epochs=epochs)
    search.tell(asked.number, result, baseline=baseline)


def go_through(search):
    found = []
    while (asked := search.ask()) is not None:
        found.append(asked.values)
        finish(search, asked)
    return found


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsga2"])
def test_trials_are_the_same_each_time_and_after_an_interruption(tmp_path, sampler):
    changes = {
        "sampler": sampler, "budget": {"per_trial": 3, "trials": 9},
        "families": {"nice": {"search": CONDITIONAL}},
    }  # fmt: skip
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = go_through(search_of(tmp_path / "whole", **changes))
    assert len(whole) == 9

    search = search_of(tmp_path / "parts", **changes)
    parts = []
    for _ in range(4):
        asked = search.ask()
        parts.append(asked.values)
        finish(search, asked)
    left = search.ask()  # asked for, and the driver dies
    search = search_of(tmp_path / "parts", **changes)
    recovered = [search.go_on(number) for number in search.running()]
    assert recovered == [left]
    parts.append(left.values)
    finish(search, recovered[0])
    assert parts + go_through(search) == whole


def test_another_seed_gives_other_trials(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one = go_through(search_of(tmp_path / "a", seed=0))
    assert one != go_through(search_of(tmp_path / "b", seed=1))


def test_a_conditional_key_is_there_exactly_where_its_condition_holds(tmp_path):
    found = go_through(
        search_of(
            tmp_path,
            families={"nice": {"search": CONDITIONAL}},
            budget={"per_trial": 3, "trials": 12},
        )
    )
    for values in found:
        assert ("family.hidden" in values) == (values["family.network"] == "mlp")
        assert ("family.kernel" in values) == (values["family.network"] == "conv")
    assert {values["family.network"] for values in found} == {"mlp", "conv"}
    assert any(values.get("family.hidden") == [128, 128] for values in found)


def test_a_grid_is_every_combination_that_applies_once(tmp_path):
    changes = {
        "sampler": "grid", "budget": {"per_trial": 3},
        "search": {"training.learning_rate": [1e-3, 1e-2]},
        "families": {"nice": {"search": CONDITIONAL}},
    }  # fmt: skip
    expected = [
        (rate, network, tuple(hidden or ()), kernel)
        for rate, (network, hidden, kernel) in itertools.product(
            [1e-3, 1e-2],
            [("mlp", [64], None), ("mlp", [128, 128], None)]
            + [("conv", None, k) for k in (3, 4, 5)],
        )
    ]
    search = search_of(tmp_path, **changes)
    assert trial_count(search.sweep, "nice") == 10
    first = [search.ask() for _ in range(3)]
    for asked in first[:2]:
        finish(search, asked)
    search = search_of(tmp_path, **changes)  # interrupted: nothing is enqueued twice
    assert [search.go_on(number) for number in search.running()] == [first[2]]
    finish(search, first[2])
    found = [asked.values for asked in first] + go_through(search)
    as_tuples = [
        (
            v["training.learning_rate"], v["family.network"], tuple(v.get("family.hidden", ())),
            v.get("family.kernel"),
        )
        for v in found
    ]  # fmt: skip
    assert sorted(as_tuples, key=str) == sorted(expected, key=str)


def test_a_grid_larger_than_the_budget_is_cut(tmp_path):
    changes = {
        "sampler": "grid", "budget": {"per_trial": 3, "trials": 2}, "search": {},
        "families": {"nice": {"search": {"family.depth": {"int": [1, 9]}}}},
    }  # fmt: skip
    search = search_of(tmp_path, **changes)
    assert [search.ask().values["family.depth"] for _ in range(2)] == [1, 2]
    assert search.ask() is None


@pytest.mark.parametrize(
    ("raw", "uniform"),
    [
        ({"log": [1e-4, 1e-1]}, lambda v: (math.log(v) - math.log(1e-4)) / math.log(1e3)),
        ({"uniform": [0.2, 0.9]}, lambda v: (v - 0.2) / 0.7),
        (
            {"log_gap_to_one": [0.5, 0.99]},
            lambda v: (math.log(1 - v) - math.log(0.01)) / math.log(50),
        ),
    ],
)
def test_values_are_uniform_on_the_scale_that_their_kind_names(raw, uniform):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = {"key": Distribution.model_validate(raw)}
    drawn = [uniform(suggest(study.ask(), space, {})["key"]) for _ in range(400)]
    assert 0 <= min(drawn) <= max(drawn) <= 1
    assert stats.kstest(drawn, "uniform").pvalue > 0.01


def test_grid_values_refer_to_fixed_ones_too():
    space = {"a": Distribution.model_validate({"choice": [1, 2], "when": {"b": "x"}})}
    assert grid(space, {"b": "x"}) == [{"a": 1}, {"a": 2}]
    assert grid(space, {"b": "y"}) == [{}]


def test_failures_are_told_the_worst_value_seen_and_pruned_trials_stay_pruned(tmp_path):
    search = search_of(tmp_path, budget={"per_trial": 3, "trials": 6}, pruner="median")
    ends = [
        ("timed_out", None), ("completed", 2.0), ("completed", 5.0), ("out_of_memory", math.inf),
        ("pruned", None), ("completed", math.nan),
    ]  # fmt: skip
    for outcome, value in ends:
        asked = search.ask()
        search.report(asked.number, 0, 3.0)
        finish(search, asked, outcome, value)
    trials = search.study.trials
    assert [trial.state for trial in trials] == [
        *[TrialState.COMPLETE] * 4, TrialState.PRUNED, TrialState.COMPLETE
    ]  # fmt: skip
    assert [trial.constraints[FAILURE] for trial in trials] == [1, 0, 0, 1, 0, 1]
    assert trials[0].value == WORST
    assert trials[3].value == 5.0
    assert trials[5].value == 5.0  # a likelihood that is no number is no success
    assert search.best().number == 1


def failures(path, outcome):
    """How many of the last 24 of 36 trials fail, where the best sound rates border on failure."""
    path.mkdir()
    search = search_of(path, budget={"per_trial": 3, "trials": 36}, seed=2)
    failed = []
    while (asked := search.ask()) is not None:
        log_rate = math.log10(asked.values["training.learning_rate"])
        failed.append(log_rate > -2)
        if failed[-1]:
            finish(search, asked, outcome, baseline=7.0)
        else:
            finish(search, asked, value=-2 - log_rate)
    assert search.best().values["training.learning_rate"] < 1e-2
    return sum(failed[12:])


def test_the_sampler_learns_to_stay_away_from_failures_that_are_told(tmp_path):
    # A code error is told as Optuna's FAIL, which its samplers do not see.
    unseen = failures(tmp_path / "unseen", "code_error")
    assert 2 * failures(tmp_path / "told", "diverged") < unseen


def test_the_median_pruner_stops_a_trial_that_is_behind(tmp_path):
    search = search_of(tmp_path, budget={"per_trial": 3, "trials": 6}, pruner="median")
    for _ in range(3):
        asked = search.ask()
        assert not any(search.report(asked.number, epoch, 1.0) for epoch in range(3))
        finish(search, asked, value=1.0)
    ahead, behind = search.ask(), search.ask()
    assert not search.report(ahead.number, 0, 0.9)
    assert search.report(behind.number, 0, 1.5)
