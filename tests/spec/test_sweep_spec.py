"""Sweep files: what they may say, and how a mistake in one is told."""

import math

import pytest
from pydantic import ValidationError

from flowbench.errors import InputError
from flowbench.spec.distributions import Distribution
from flowbench.spec.files import load
from flowbench.spec.run import DataSpec
from flowbench.spec.search import Budget
from flowbench.spec.sweep import SweepSpec, read_sweep

SWEEP = """
name: demo
data: [{name: digits}, moons]
search: {training.learning_rate: {log: [1e-4, 1e-2]}, training.weight_decay: {log: [1e-6, 1e-2]}}
families:
  nice:
    search:
      family.hidden: {choice: [[64], [128, 128]], when: {family.network: mlp}}
      family.network: [mlp, conv]
    fixed: {family.depth: 4}
  residual:
    search: {family.depth: {int: [2, 16]}, family.lipschitz: {log_gap_to_one: [0.5, 0.99]}}
    fixed: {training.weight_decay: 0.0}
sampler: tpe
pruner: median
budget: {unit: epochs, per_trial: 20, trials: 8}
confirm: {seeds: 5}
resources: {slots: 2, devices_per_trial: 1}
seed: 3
"""


def read(tmp_path, text, overrides=()):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    configuration = load([path], overrides)
    return read_sweep(configuration.values, configuration.where)


@pytest.fixture
def sweep(tmp_path):
    return read(tmp_path, SWEEP)


def test_a_parent_comes_before_the_keys_that_depend_on_it(sweep):
    keys = list(sweep.space("nice"))
    assert keys.index("family.network") < keys.index("family.hidden")
    assert set(keys) == {
        "training.learning_rate", "training.weight_decay", "family.network", "family.hidden"
    }  # fmt: skip


def test_a_fixed_key_is_not_searched(sweep):
    assert "training.weight_decay" not in sweep.space("residual")
    assert "training.weight_decay" in sweep.space("nice")


def test_a_run_has_the_common_values_then_the_fixed_ones_then_the_searched_ones(sweep):
    values = {"training.learning_rate": 5e-3, "family.network": "mlp", "family.hidden": [64]}
    spec = sweep.run_spec(
        "nice", sweep.data_labels["moons"], values, model_seed=7, split="validation"
    )
    assert spec.family.hyperparameters == {"depth": 4, "network": "mlp", "hidden": [64]}
    assert spec.data == DataSpec(name="moons")
    assert (spec.training.learning_rate, spec.training.max_epochs) == (5e-3, 20)
    assert (spec.evaluation.split, spec.evaluation.speed, spec.model_seed) == (
        "validation", False, 7
    )  # fmt: skip


def test_a_budget_in_device_seconds_is_shared_by_the_devices_of_a_trial(tmp_path):
    text = SWEEP.replace("unit: epochs", "unit: device_seconds").replace(
        "devices_per_trial: 1", "devices_per_trial: 4"
    )
    sweep = read(tmp_path, text)
    spec = sweep.run_spec("nice", sweep.data[0], {}, model_seed=0, split="test")
    assert (spec.training.max_seconds, spec.training.devices) == (5.0, 4)


def test_seeds_of_confirming_runs_are_fresh(sweep):
    seeds = [sweep.tune_seed, *(sweep.confirm_seed(i) for i in range(5))]
    assert len(set(seeds)) == 6
    other = sweep.model_copy(update={"seed": 4})
    assert not set(seeds) & {other.tune_seed, *(other.confirm_seed(i) for i in range(5))}


def test_the_hash_is_that_of_what_decides_the_trials(tmp_path, sweep):
    assert SweepSpec.model_validate_json(sweep.model_dump_json()).hash == sweep.hash
    assert read(tmp_path, SWEEP, ["resources.slots=1", "resources.retries=9"]).hash == sweep.hash
    for change in ("seed=4", "budget.trials=9", "families.nice.fixed.family.depth=5"):
        key, _, value = change.partition("=")
        # A key with dots of its own cannot be overridden by a dotted path: replace the text.
        text = SWEEP.replace("family.depth: 4", f"family.depth: {value}")
        changed = read(tmp_path, text) if "family" in key else read(tmp_path, SWEEP, [change])
        assert changed.hash != sweep.hash


def test_data_sets_of_one_name_have_labels_of_their_own(tmp_path):
    text = SWEEP.replace("moons]", "{path: a/t.csv}, {path: b/t.csv}, {path: 'x y.csv'}]")
    assert list(read(tmp_path, text).data_labels) == ["digits", "t", "t~2", "x-y"]


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("sampler: tpe", "sampler: best", "sampler = 'best': input should be 'tpe', 'random'"),
        ("sampler: tpe", "smapler: tpe", "smapler: unknown key (did you mean sampler?)"),
        ("seed: 3", "seed: -1", "seed = -1: input should be greater than or equal to 0"),
        ("trials: 8", "trails: 8", "budget.trails: unknown key (did you mean trials?)"),
        ("per_trial: 20", "per_trial: 2.5", "per_trial counts epochs: a whole number is expected"),
        ("trials: 8", "trials: null", "budget.trials: missing; only a grid knows it by itself"),
        ("name: demo", "name: a/b", "name = 'a/b': letters, digits, - and _ are allowed"),
        ("{name: digits}", "{nome: digits}", "data.0.nome: unknown key (did you mean name?)"),
        ("[{name: digits}, moons]", "digits", "data = 'digits': a list of data sets is expected"),
        ("    fixed: {family", "    fixd: {family", "families.nice.fixd: unknown key"),
        (
            "log: [1e-4, 1e-2]", "log: [0, 1e-2]",
            "search.training.learning_rate = {'log': [0, 0.01]}: log needs low > 0",
        ),
        ("int: [2, 16]", "int: [16, 2]", "int needs low < high"),
        ("int: [2, 16]", "int: [2.5, 16]", "int needs whole numbers"),
        ("[0.5, 0.99]", "[0.5, 1.0]", "log_gap_to_one needs high < 1"),
        ("int: [2, 16]", "integer: [2, 16]", "exactly one of choice, int, uniform, log,"),
        ("training.weight_decay: {log", "training.weight: {log", "unknown key; allowed: training."),
        (
            "{family.network: mlp}", "{family.net: mlp}",
            "family.hidden depends on family.net, which is neither searched nor fixed",
        ),
        ("family.depth: 4", "family.network: mlp", "family.network is both searched and fixed"),
        ("family.depth: 4", "training.max_epochs: 4", "training.max_epochs is decided by budget"),
        ("family.depth: 4", "depth: 4", "depth: a key starts with family. or training."),
        ("sampler: tpe", "sampler: grid", "is log; a grid takes choice or int"),
        ("sampler: tpe", "training: {max_epochs: 3}", "training.max_epochs is decided by budget"),
        ("sampler: tpe", "evaluation: {split: test}", "evaluation.split is decided by the stage"),
        (
            "sampler: tpe", "evaluation: {rough_speed: true}",
            "evaluation.rough_speed is decided by objectives and constraints",
        ),
        (
            "sampler: tpe", "evaluation: {protocol: full}",
            "evaluation.protocol is decided by confirm.protocol",
        ),
        ("seed: 3", "constraints: {inversion_error: 0}", "constraints.inversion_error = 0: input"),
        ("seed: 3", "constraints: {memory: 3}", "did you mean memory_gib?"),
        ("seed: 3", "objectives: [speed]", "objectives.0 = 'speed': input should be"),
        (
            "seed: 3", "objectives: [sampling_time]",
            "objectives = ['sampling_time']: allowed: [bits_per_dim] or",
        ),
        (
            "seed: 3", "objectives: [bits_per_dim, sampling_time]",
            "pruner = 'median': trials with several objectives cannot be pruned; allowed: none",
        ),
        ("trials: 8", "trials: 8, total: 99", "trials and total: one of them is allowed"),
        ("trials: 8", "total: 9", "total = 9 does not pay for one trial of per_trial"),
        ("seed: 3", "warm_start: demo", "warm_start = 'demo': an earlier sweep is expected"),
        ("seed: 3", "stop_hopeless: {after: 3}", "stop_hopeless.behind: missing"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_with_its_file_and_key(tmp_path, was, becomes, said):
    assert was in SWEEP
    with pytest.raises(InputError) as caught:
        read(tmp_path, SWEEP.replace(was, becomes, 1))
    sentence = str(caught.value)
    assert said in sentence
    assert sentence.startswith(f"{tmp_path / 'sweep.yaml'}: ")
    assert "\n" not in sentence


GRID = """
name: grid
data: [moons]
families: {nice: {search: {family.depth: {int: [1, 3]}}}}
sampler: grid
budget: {per_trial: 3}
"""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("warm_start: before", "warm_start: sampler = 'grid' tries every configuration by itself"),
        ("stop_hopeless: {after: 1, behind: 1}", "one family has no other to be behind"),
    ],
)
def test_what_a_search_has_no_use_for_is_refused(tmp_path, more, said):
    assert read(tmp_path, GRID).warm_start is None
    with pytest.raises(InputError, match=said):
        read(tmp_path, GRID + more)
    with pytest.raises(InputError, match=r"budget.total: a grid is counted in budget.trials"):
        read(tmp_path, GRID.replace("per_trial: 3", "per_trial: 3, total: 9"))


@pytest.mark.parametrize(
    ("more", "timed"),
    [
        ("", False),
        ("constraints: {inversion_error: 1e-3, memory_gib: 4}", False),
        ("constraints: {milliseconds_per_sample: 2}", True),
        ("objectives: [bits_per_dim, sampling_time]", True),
    ],
)
def test_only_tuning_trials_time_sampling_and_only_where_a_search_needs_it(tmp_path, more, timed):
    sweep = read(tmp_path, GRID + more)
    for split in ("validation", "test"):
        spec = sweep.run_spec("nice", sweep.data[0], {}, model_seed=0, split=split)
        assert spec.evaluation.rough_speed == (timed and split == "validation")


def test_only_confirming_runs_are_measured_in_full_and_importance_weighted(tmp_path):
    more = "confirm: {seeds: 1, protocol: full}\nevaluation: {importance_draws: 8}"
    sweep = read(tmp_path, GRID + more)
    for split, expected in (("validation", ("quick", None)), ("test", ("full", 8))):
        spec = sweep.run_spec("nice", sweep.data[0], {}, model_seed=0, split=split)
        assert (spec.evaluation.protocol, spec.evaluation.importance_draws) == expected


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"trials": 8}, "8 trials for each family and data set, 20 epochs a trial"),
        (
            {"unit": "device_seconds", "total": 90, "per_trial": 4.5},
            "90 device-seconds for each family and data set, 4.5 a trial",
        ),
        ({}, "every point of the grid for each family and data set, 20 epochs a trial"),
    ],
)
def test_a_budget_names_its_unit(budget, words):
    assert Budget.model_validate(budget).words == words


def test_an_override_is_named_as_the_place_of_its_mistake(tmp_path):
    with pytest.raises(InputError, match=r"^command line: budget.trials = 0: "):
        read(tmp_path, SWEEP, ["budget.trials=0"])


def test_a_file_without_families_or_budget_says_so(tmp_path):
    with pytest.raises(InputError, match=r"sweep.yaml: no section `families`"):
        read(tmp_path, "name: a\ndata: [moons]")
    with pytest.raises(InputError, match=r"sweep.yaml: budget: missing"):
        read(tmp_path, "name: a\ndata: [moons]\nfamilies: {nice: }")


def test_keys_that_depend_on_each_other_are_refused(tmp_path):
    text = SWEEP.replace("family.network: [mlp, conv]", (
        "family.network: {choice: [mlp], when: {family.hidden: [[64]]}}"
    ))  # fmt: skip
    with pytest.raises(InputError, match="depends on itself"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("raw", "grid"),
    [
        ([1, "a", None], [1, "a", None]),
        ({"choice": [[64], [128, 128]]}, [[64], [128, 128]]),
        ({"int": [2, 5]}, [2, 3, 4, 5]),
        ({"float": [0, 1]}, None),
        ({"log": [0.1, 1]}, None),
        ({"log_gap_to_one": [0.1, 0.9]}, None),
    ],
)
def test_a_distribution_is_read_in_each_of_its_forms_and_back(raw, grid):
    read_once = Distribution.model_validate(raw)
    assert read_once.grid() == grid
    assert Distribution.model_validate_json(read_once.model_dump_json()) == read_once


@pytest.mark.parametrize("raw", [{"log": [1, math.inf]}, {"int": [1]}, {"choice": []}, 3, "log"])
def test_what_is_no_distribution_is_refused(raw):
    with pytest.raises(ValidationError):
        Distribution.model_validate(raw)


@pytest.mark.parametrize(
    ("raw", "inside", "outside"),
    [
        ([1, "a", [64]], [1, "a", [64]], [2, [65], None]),
        ({"int": [2, 5]}, [2, 5, 3.0], [1, 6, 2.5, True, "3"]),
        ({"log": [0.1, 1]}, [0.1, 1, 0.5], [0.09, 1.01, None]),
        ({"log_gap_to_one": [0.5, 0.99]}, [0.5, 1 - (1 - 0.99)], [0.4, 0.995]),
    ],
)
def test_a_distribution_holds_its_own_values_alone(raw, inside, outside):
    distribution = Distribution.model_validate(raw)
    assert all(distribution.holds(value) for value in inside)
    assert not any(distribution.holds(value) for value in outside)


def test_a_condition_holds_for_any_of_its_values_and_never_without_its_key():
    both = Distribution.model_validate({"choice": [1], "when": {"a": ["x", "y"], "b": 2}})
    assert both.applies({"a": "y", "b": 2})
    assert not both.applies({"a": "z", "b": 2})
    assert not both.applies({"a": "x"})
