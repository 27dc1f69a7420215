"""What a sweep file may ask of a search: limits, two objectives, a total, a warm start, an end."""

import itertools
import math

import pytest
from optuna.trial import TrialState
from stand_in_sweep import home_at, tiny_sweep

from flowbench.compare.fairness import flags
from flowbench.compare.leaderboard import leaderboard_table
from flowbench.compare.runs import load
from flowbench.errors import InputError
from flowbench.run_directory import TrialResult
from flowbench.sweep.constraints import FARTHEST
from flowbench.sweep.storage import open_storage
from flowbench.sweep.study import WORST, Search
from flowbench.sweep.warm import check_warm_start
from flowbench.tracking.store import default_tracking_uri

BITS, ERROR = "val/bits_per_dim", "inversion/flow/xzx/max"
MEMORY, TIME = "memory/peak_bytes", "rough/milliseconds_per_sample"


def search_of(path, **changes):
    sweep = tiny_sweep(**changes)
    return Search(open_storage(path / "optuna.db"), sweep, next(iter(sweep.families)), "moons")


def tell(search, asked, metrics, outcome="completed", epochs=3):
    result = TrialResult(outcome=outcome, metrics=metrics, epochs=epochs)
    search.tell(asked.number, result, baseline=math.nan)


def log_rate(asked):
    return math.log10(asked.values["training.learning_rate"])


def test_an_infeasible_configuration_never_wins_however_good(tmp_path):
    search = search_of(
        tmp_path, budget={"per_trial": 3, "trials": 6},
        constraints={"inversion_error": 1e-3, "memory_gib": 8, "milliseconds_per_sample": 2},
    )  # fmt: skip
    sound = {ERROR: 1e-5, MEMORY: 4 * 2**30, TIME: 2.0}
    for metrics in (
        {BITS: 1.0, **sound, ERROR: 1e-1},
        {BITS: 2.0, **sound, MEMORY: 16 * 2**30},
        {BITS: 3.0, **sound, ERROR: math.inf},
        {BITS: 4.0, ERROR: 1e-5, MEMORY: 1.0},  # its time was not measured
        {BITS: 5.0, **sound},
        {BITS: 6.0, **sound},
    ):
        tell(search, search.ask(), metrics)
    trials = search.study.trials
    assert search.best().number == search.study.best_trial.number == 4
    assert [trial.value for trial in trials] == [1, 2, 3, 4, 5, 6]
    assert trials[0].constraints["inversion_error"] == pytest.approx(2)  # decades
    assert trials[1].constraints["memory_gib"] == pytest.approx(math.log10(2))
    assert trials[2].constraints["inversion_error"] == FARTHEST
    assert trials[3].constraints["milliseconds_per_sample"] == FARTHEST
    assert trials[4].constraints["milliseconds_per_sample"] == 0


def infeasible(path, **changes):
    """How many of the last 24 of 36 trials break a limit that the best likelihoods break."""
    path.mkdir()
    search = search_of(path, budget={"per_trial": 3, "trials": 36}, seed=2, **changes)
    broken = []
    while (asked := search.ask()) is not None:
        broken.append(log_rate(asked) > -2)
        tell(search, asked, {BITS: -log_rate(asked), ERROR: 10 ** log_rate(asked)})
    return sum(broken[12:])


def test_the_sampler_learns_to_keep_to_a_limit(tmp_path):
    free = infeasible(tmp_path / "free")
    assert 2 * infeasible(tmp_path / "bound", constraints={"inversion_error": 1e-2}) < free


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_two_objectives_give_a_front_and_the_best_likelihood_is_confirmed(tmp_path, sampler):
    search = search_of(
        tmp_path, sampler=sampler, objectives=["bits_per_dim", "sampling_time"],
        budget={"per_trial": 3, "trials": 24},
    )  # fmt: skip
    tell(search, search.ask(), {}, "out_of_memory")
    points = []
    while (asked := search.ask()) is not None:
        depth = asked.values["family.depth"]
        point = (abs(log_rate(asked) + 3) + 1 / depth, float(depth))
        tell(search, asked, {BITS: point[0], TIME: point[1]})
        points.append((asked.number, point))
    trials = search.study.trials
    assert trials[0].values == [WORST, WORST]
    front = {
        number for number, (bits, time) in points
        if not any(b <= bits and t <= time and (b, t) != (bits, time) for _, (b, t) in points)
    }  # fmt: skip
    assert {trial.number for trial in search.study.best_trials} == front
    assert search.best().number == min(points, key=lambda each: each[1][0])[0]


def test_a_failure_is_told_the_worst_of_each_objective(tmp_path):
    objectives = ["bits_per_dim", "sampling_time"]
    search = search_of(tmp_path, objectives=objectives, budget={"per_trial": 3, "trials": 4})
    tell(search, search.ask(), {BITS: 1.0, TIME: 9.0})
    tell(search, search.ask(), {BITS: 5.0, TIME: 2.0})
    tell(search, search.ask(), {}, "diverged")
    tell(search, search.ask(), {BITS: 0.1}, "not_invertible")
    assert [trial.values for trial in search.study.trials[2:]] == [[5.0, 9.0], [0.1, 9.0]]
    assert {trial.number for trial in search.study.best_trials} == {0, 1}


def test_a_total_is_spent_by_what_trials_take_and_never_exceeded(tmp_path):
    search = search_of(tmp_path, budget={"per_trial": 10, "total": 30}, pruner="median")
    first, second, third = (search.ask() for _ in range(3))
    assert search.ask() is None  # three that run to the end would spend it all
    assert not search.exhausted
    tell(search, first, {}, "pruned", epochs=2)
    assert search.ask() is None  # 2 + 10 + 10 leave 8
    tell(search, second, {BITS: 1.0}, epochs=6)  # stopped early by itself
    fourth = search.ask()  # 2 + 6 + 10 leave 12
    assert fourth is not None
    # A failure is taken in full, or those that fail at once would go on for ever.
    tell(search, third, {}, "code_error", epochs=1)
    assert search.ask() is None  # 2 + 6 + 10 + 10 leave 2
    assert not search.exhausted
    tell(search, fourth, {BITS: 2.0}, epochs=3)
    assert search.exhausted  # 2 + 6 + 10 + 3 leave 9
    assert search.ask() is None


def test_a_total_is_named_on_every_table_and_other_numbers_of_trials_are_fair(tmp_path):
    families = {"nice": {}, "planar": {"fixed": {"family.behave": "diverge"}}}
    sweep = tiny_sweep(families=families, budget={"per_trial": 2, "total": 5}, confirm={"seeds": 0})
    with home_at(tmp_path) as home:
        status = home.run(sweep)
        frame = load(default_tracking_uri(), "tiny")
    assert status.budget == "5 epochs for each family and data set, 2 a trial"
    assert set(frame.runs["budget"]) == {"2 epochs of 5"}
    assert len(home.runs()) == 4
    found = flags(frame, leaderboard_table(frame))
    assert not [flag for flag in found if flag.kind == "trials"]


def test_a_total_in_device_seconds_is_counted_in_them(tmp_path):
    budget = {"unit": "device_seconds", "per_trial": 4, "total": 10}
    search = search_of(tmp_path, budget=budget)
    for seconds in (1.5, 4.0, 0.5):
        result = TrialResult(outcome="completed", metrics={BITS: 1.0}, device_seconds=seconds)
        search.tell(search.ask().number, result, baseline=math.nan)
    last = search.ask()  # 6 of 10 are spent
    tell(search, last, {}, "timed_out")
    assert search.exhausted
    assert len(search.study.trials) == 4


SPACE = {
    "family.network": ["mlp", "conv"],
    "family.hidden": {"choice": [[64], [128, 128]], "when": {"family.network": "mlp"}},
    "family.lipschitz": {"log_gap_to_one": [0.5, 0.99]},
}


def earlier(path, **changes):
    """Finish an earlier sweep of nine trials; return its values by their worth, the best first."""
    search = search_of(
        path, name="before", sampler="random", budget={"per_trial": 1, "trials": 9}, **changes
    )
    asked = [search.ask() for _ in range(9)]
    for each in asked:
        tell(search, each, {BITS: float((5 * each.number + 3) % 9)})
    return [each.values for each in sorted(asked, key=lambda each: (5 * each.number + 3) % 9)]


def test_a_warm_start_tries_the_earlier_best_in_place_of_the_random_trials(tmp_path):
    families = {"nice": {"search": SPACE}}
    best = earlier(tmp_path, families=families)
    changes = {
        "families": families, "warm_start": "before", "budget": {"per_trial": 3, "trials": 9},
    }  # fmt: skip
    search = search_of(tmp_path, **changes)
    check_warm_start(search.storage, search.sweep)
    first = search.ask()
    search = search_of(tmp_path, **changes)  # interrupted: nothing is enqueued twice
    assert [search.go_on(number) for number in search.running()] == [first]
    found = [first.values]
    tell(search, first, {BITS: 1.0})
    while (asked := search.ask()) is not None:
        found.append(asked.values)
        tell(search, asked, {BITS: 1.0 + asked.number})
    for one, other in zip(found[:3], best[:3], strict=True):
        assert one.keys() == other.keys()
        assert all(one[key] == (pytest.approx(other[key])) for key in one)
    assert len(found) == 9
    assert not [values for values in found[3:] if values in best]


def test_a_warm_start_takes_only_what_fits_the_new_space(tmp_path):
    best = earlier(tmp_path, families={"nice": {"search": SPACE}})
    narrow = {**SPACE, "family.network": ["conv", "resnet"]}
    search = search_of(
        tmp_path, families={"nice": {"search": narrow}}, warm_start="before",
        budget={"per_trial": 3, "trials": 9},
    )  # fmt: skip
    fitting = [values for values in best if values["family.network"] == "conv"][:3]
    assert fitting
    found = [search.ask().values for _ in fitting]
    assert [v["training.learning_rate"] for v in found] == [
        v["training.learning_rate"] for v in fitting
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"warm_start": "never"},
        {"warm_start": "before", "families": {"glow": {}}},
        {"warm_start": "before", "search": {"training.learning_rate": {"log": [1, 2]}}},
        {"warm_start": "before", "search": {"training.ema_decay": [0.9]}},
        {"warm_start": "before", "families": {"nice": {"fixed": {"family.network": "other"}}}},
    ],
)
def test_a_warm_start_that_warms_nothing_is_refused(tmp_path, changes):
    earlier(tmp_path, families={"nice": {"search": SPACE}})
    sweep = tiny_sweep(**{"families": {"nice": {}}, **changes})
    with pytest.raises(InputError, match="no completed trial of such a sweep fits"):
        check_warm_start(open_storage(tmp_path / "optuna.db"), sweep)


def test_a_hopeless_family_is_stopped_where_the_file_says_so_and_still_confirmed(tmp_path):
    families = {
        "nice": {}, "glow": {"fixed": {"family.bad_until": 9}},
        "planar": {"fixed": {"family.behave": "diverge"}},
    }  # fmt: skip
    sweep = tiny_sweep(
        families=families, budget={"per_trial": 1, "trials": 5}, confirm={"seeds": 1},
        stop_hopeless={"after": 2, "behind": 50},
    )  # fmt: skip
    with home_at(tmp_path) as home:
        status = home.run(sweep)
        runs = home.runs()
    counts = {name: sum(f".{name}." in run and "confirm" not in run for run in runs)
              for name in families}  # fmt: skip
    assert counts["nice"] == 5
    # A trial that ran beside the one that settled it was not stopped.
    assert 2 <= counts["glow"] <= 3
    assert 2 <= counts["planar"] <= 3
    assert {run for run in runs if "confirm" in run} == {
        "tiny.nice.moons.confirm-0", "tiny.glow.moons.confirm-0"
    }  # fmt: skip
    assert status.state == "finished"


def test_a_sweep_confirms_the_best_feasible_configuration(tmp_path):
    depths = {"family.depth": [1, 2, 3], "family.measured": [{ERROR: 1.0}, {ERROR: 1e-6}]}
    sweep = tiny_sweep(
        families={"nice": {"search": depths, "fixed": {"training.learning_rate": 1e-3}}},
        sampler="grid", budget={"per_trial": 1}, confirm={"seeds": 1},
        constraints={"inversion_error": 1e-3},
    )  # fmt: skip
    with home_at(tmp_path) as home:
        home.run(sweep)
        confirmed = home.runs()["tiny.nice.moons.confirm-0"].spec().family.hyperparameters
        bits = {
            run: r.result().metrics[BITS] for run, r in home.runs().items() if "conf" not in run
        }
    assert confirmed == {"depth": 1, "measured": {ERROR: 1e-6}}
    assert min(bits.values()) == pytest.approx(0.01)


def test_a_sweep_of_one_slot_gives_the_same_trials_each_time(tmp_path):
    sweep = tiny_sweep(
        families={"nice": {"search": {"family.depth": {"int": [1, 4]}}}},
        budget={"per_trial": 1, "trials": 4}, resources={"slots": 1}, confirm={"seeds": 1},
    )  # fmt: skip
    seen = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        with home_at(tmp_path / place) as home:
            home.run(sweep, slots=1)
            specs = {name: run.spec() for name, run in home.runs().items()}
            told = {f: [t.values for t in home.trials(f)] for f in sweep.families}
            seen.append((specs, told, home.started()))
    assert seen[0] == seen[1]
    assert len(seen[0][0]) == 5


@pytest.mark.parametrize("pruner", ["hyperband", "asha", "median"])
def test_pruners_stop_what_is_behind_and_keep_what_is_ahead(tmp_path, pruner):
    search = search_of(tmp_path, budget={"per_trial": 9, "trials": 21}, pruner=pruner)
    ended = []
    for quality in itertools.islice(itertools.cycle([1.0, 5.0, 9.0]), 21):
        asked = search.ask()
        epochs = range(1, 10)
        pruned = any(search.report(asked.number, e, quality + 1 / e) for e in epochs)
        tell(search, asked, {BITS: quality}, "pruned" if pruned else "completed")
        ended.append((quality, pruned))
    assert not [quality for quality, pruned in ended if pruned and quality == 1.0]
    assert sum(pruned for quality, pruned in ended if quality == 9.0) >= 3
    states = [trial.state for trial in search.study.trials]
    assert [state == TrialState.PRUNED for state in states] == [pruned for _, pruned in ended]
