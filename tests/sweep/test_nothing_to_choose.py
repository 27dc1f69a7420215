"""A family with a single configuration is not tuned: it is confirmed at once, or run as it is."""

from stand_in_sweep import tiny_sweep

from flowbench.sweep import sweep_status
from flowbench.sweep.audit import audit
from flowbench.sweep.estimate import estimate
from flowbench.tracking.reader import read_runs
from flowbench.tracking.store import default_tracking_uri

FIXED = {
    "sampler": "grid",
    "search": {},
    "families": {
        "nice": {"fixed": {"family.depth": 3}},
        "glow": {"search": {"family.depth": [1, 2]}},
        "planar": {"fixed": {"family.behave": "diverge"}},
    },
    "budget": {"per_trial": 2},
}


def test_it_is_confirmed_at_once(runs_home):
    sweep = tiny_sweep(**FIXED)
    assert [(cell.family, cell.tune, cell.confirm) for cell in estimate(sweep).cells] == [
        ("nice", 0, 2), ("glow", 2, 2), ("planar", 0, 2)
    ]  # fmt: skip
    status = runs_home.run(sweep)
    assert status.state == "finished"
    assert status.expected == {"tune": 2, "confirm": 6, "speed": 3}
    nice = {run for run in runs_home.runs() if run.startswith("tiny.nice")}
    assert nice == {"tiny.nice.moons.confirm-0", "tiny.nice.moons.confirm-1"}
    spec = runs_home.runs()["tiny.nice.moons.confirm-0"].spec()
    assert spec.family.hyperparameters["depth"] == 3
    assert spec.evaluation.split == "test"
    assert (runs_home.runs()["tiny.nice.moons.confirm-0"].path / "speed.json").is_file()
    # One that fails both times has no speed, and stops nobody.
    assert {runs_home.outcomes()[f"tiny.planar.moons.confirm-{i}"] for i in (0, 1)} == {"diverged"}
    assert list(audit("tiny")) == []
    record = read_runs(default_tracking_uri(), "tiny").set_index("run")
    assert set(nice) <= set(record.index)


def test_a_sweep_that_was_stopped_goes_on_with_what_is_left(runs_home):
    sweep = tiny_sweep(**FIXED)
    runs_home.run(sweep)
    before = len(runs_home.started())
    assert runs_home.run(sweep).state == "finished"
    assert len(runs_home.started()) == before


def test_without_confirming_runs_it_is_tried_once(runs_home):
    runs_home.run(tiny_sweep(**FIXED | {"confirm": {"seeds": 0}}))
    assert runs_home.outcomes()["tiny.nice.moons.0000"] == "completed"
    assert sweep_status("tiny").expected == {"tune": 4, "confirm": 0, "speed": 3}
