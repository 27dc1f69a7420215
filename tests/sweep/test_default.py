"""A search begins with the family's default, and marks it."""

import pytest
from stand_in_sweep import tiny_sweep

from flowbench.run_directory import TrialResult
from flowbench.sweep.default import default_point
from flowbench.sweep.storage import open_storage
from flowbench.sweep.study import Search

DEFAULTS = {"depth": 8, "hidden": [128, 128], "lipschitz": 0.9, "network": "mlp", "levels": None}
SPACE = {
    "family.depth": {"int": [2, 6]},
    "family.network": ["mlp", "conv"],
    "family.hidden": {"choice": [[64], [128, 128]], "when": {"family.network": "mlp"}},
    "family.kernel": {"int": [3, 5], "when": {"family.network": "conv"}},
    "family.lipschitz": {"log_gap_to_one": [0.5, 0.99]},
}


def sweep_of(space, **changes):
    return tiny_sweep(families={"nice": {"search": space}}, **changes)


def searched(path, sweep):
    default = default_point(sweep, "nice", DEFAULTS)
    return Search(open_storage(path / "optuna.db"), sweep, "nice", "moons", default)


def test_a_number_out_of_its_range_moves_to_the_nearest_that_is_searched():
    sweep = sweep_of(SPACE, search={"training.weight_decay": {"log": [1e-6, 1e-2]}})
    point = default_point(sweep, "nice", DEFAULTS)
    assert point.likeness == "nearest"
    assert point.values == {
        "family.depth": 6, "family.network": "mlp", "family.hidden": [128, 128],
        "family.lipschitz": 0.9, "training.weight_decay": 1e-6,
    }  # fmt: skip
    inside = sweep_of({"family.depth": {"int": [2, 8]}}, search={})
    assert default_point(inside, "nice", DEFAULTS).likeness == "yes"


@pytest.mark.parametrize("space", [{}, {"family.hidden": [[64], [32]]}, {"family.levels": [1, 2]}])
def test_a_choice_without_the_default_has_none(space):
    assert default_point(sweep_of(space, search={}), "nice", DEFAULTS) is None


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_the_default_is_the_first_trial_and_marked_also_after_an_interruption(tmp_path, sampler):
    sweep = sweep_of(SPACE, sampler=sampler, budget={"per_trial": 3, "trials": 4})
    asked = searched(tmp_path, sweep).ask()
    assert asked.default == "nearest"
    left = searched(tmp_path, sweep).go_on(0)
    assert left == asked
    assert asked.values["family.lipschitz"] == pytest.approx(0.9, abs=1e-12)
    search = searched(tmp_path, sweep)
    search.go_on(0)
    search.tell(0, TrialResult(outcome="completed", metrics={"val/bits_per_dim": 1.0}), baseline=2)
    later = [search.ask() for _ in range(3)]
    assert [one.default for one in later] == ["", "", ""]
    assert search.ask() is None


def test_a_grid_marks_the_point_that_is_the_default(tmp_path):
    space = {"family.depth": {"int": [7, 9]}}
    sweep = sweep_of(space, sampler="grid", search={}, budget={"per_trial": 3})
    search = searched(tmp_path, sweep)
    found = {one.values["family.depth"]: one.default for one in iter(search.ask, None)}
    assert found == {7: "", 8: "yes", 9: ""}
