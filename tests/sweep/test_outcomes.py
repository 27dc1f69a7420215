"""One sweep of stand-in families, each ending in its own way; what the driver makes of each."""

from datetime import datetime

import pytest
from optuna.trial import TrialState
from stand_in_sweep import home_at, tiny_sweep

from flowbench.sweep import sweep_status
from flowbench.tracking.reader import read_runs
from flowbench.tracking.store import default_tracking_uri

ENDS = {
    "nice": "complete",
    "glow": "die_once",
    "realnvp": "die_always",
    "planar": "diverge",
    "sylvester": "not_invertible",
    "residual": "raise",
    "quiet": "silent",
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    families = {name: {"fixed": {"family.behave": how}} for name, how in ENDS.items()}
    sweep = tiny_sweep(
        families=families, budget={"per_trial": 2, "trials": 2}, confirm={"seeds": 1},
        resources={"slots": 2, "retries": 1},
    )  # fmt: skip
    with home_at(tmp_path_factory.mktemp("outcomes")) as home:
        status = home.run(sweep)
        yield home, status, read_runs(default_tracking_uri(), "tiny")


def of(home, family, stage="0"):
    return {
        run: outcome
        for run, outcome in home.outcomes().items()
        if run.startswith(f"tiny.{family}.moons.{stage}")
    }


def test_sound_families_are_tuned_confirmed_on_test_data_and_timed(swept):
    home, _, _ = swept
    assert set(of(home, "nice").values()) == {"completed"}
    confirmed = home.runs()["tiny.nice.moons.confirm-0"]
    spec, tuned = confirmed.spec(), home.runs()["tiny.nice.moons.0000"].spec()
    assert (spec.evaluation.split, tuned.evaluation.split) == ("test", "validation")
    assert spec.model_seed != tuned.model_seed
    assert not spec.evaluation.speed
    best = min(home.trials("nice"), key=lambda trial: trial.value)
    assert spec.training.learning_rate == best.params["training.learning_rate"]
    assert (confirmed.path / "speed.json").is_file()
    assert not (home.runs()["tiny.nice.moons.0000"].path / "speed.json").is_file()


def test_a_lost_trial_goes_on_in_a_new_attempt_and_the_old_one_is_kept(swept):
    home, _, record = swept
    for run, outcome in of(home, "glow").items():
        attempts = home.runs()[run].attempts()
        assert outcome == "completed"
        assert [attempt.number for attempt in attempts] == [0, 1]
        assert attempts[0].result() is None
        assert "signal 9" in attempts[0].events()[0][-1]["reason"]
        assert attempts[1].result().outcome == "completed"
        row = record[record["run"] == run].iloc[0]
        assert (row["attempts"], row["outcome"]) == (2, "completed")
        assert "signal 9" in row["lost"]


def test_a_trial_lost_each_time_is_given_up_after_the_retries(swept):
    home, _, record = swept
    assert set(of(home, "realnvp").values()) == {"lost"}
    for run in of(home, "realnvp"):
        assert len(home.runs()[run].attempts()) == 2
        assert "lost 2 times" in home.runs()[run].result().reason
    assert {trial.state for trial in home.trials("realnvp")} == {TrialState.FAIL}
    assert set(record[record["family"] == "realnvp"]["outcome"]) == {"lost"}


def test_a_failure_that_says_something_of_its_point_is_told_as_a_violated_constraint(swept):
    home, _, _ = swept
    for trial in home.trials("planar"):
        assert trial.state == TrialState.COMPLETE
        assert trial.constraints == {"failure": 1.0}
        assert trial.user_attrs["outcome"] == "diverged"
        assert trial.user_attrs["reason"] == "the loss is NaN"
    # Nothing finite was seen at first: the Gaussian baseline, told in the start event, stands in.
    assert home.trials("planar")[0].value == 7.0


def test_a_trial_that_is_not_invertible_keeps_its_value_and_is_never_the_best(swept):
    home, _, _ = swept
    for trial in home.trials("sylvester"):
        assert (trial.value, trial.constraints) == (0.01, {"failure": 1.0})
    assert of(home, "sylvester", "confirm") == {}


def test_a_code_error_is_invisible_to_the_sampler_is_not_retried_and_says_its_line(swept):
    home, _, record = swept
    for family, said in (
        ("residual", "RuntimeError: the code is wrong"),
        ("quiet", "exit code 0 and no result"),
    ):
        assert set(of(home, family).values()) == {"code_error"}
        assert {trial.state for trial in home.trials(family)} == {TrialState.FAIL}
        for run in of(home, family):
            assert len(home.runs()[run].attempts()) == 1
            assert said in home.runs()[run].result().reason
            assert said in record[record["run"] == run].iloc[0]["reason"]


def test_every_end_is_counted_and_only_sound_families_are_confirmed(swept):
    _, status, _ = swept
    assert status.state == "finished"
    assert status.counts["tune"] == {
        "completed": 4, "lost": 2, "diverged": 2, "not_invertible": 2, "code_error": 4
    }  # fmt: skip
    assert status.counts["confirm"] == {"completed": 2}
    assert status.counts["speed"] == {"completed": 2}
    assert status.expected == {"tune": 14, "confirm": 7, "speed": 7}
    assert sweep_status("tiny") == status


def test_the_record_has_every_run_once_with_its_sweep_as_parent(swept):
    home, _, record = swept
    assert sorted(record[record["stage"] != "speed"]["run"]) == sorted(home.runs())
    speeds = record[record["stage"] == "speed"]
    assert sorted(speeds["measures"]) == ["tiny.glow.moons.confirm-0", "tiny.nice.moons.confirm-0"]
    assert set(speeds["sampling/b1/samples_per_second"]) == {10.0}


def test_two_trials_run_side_by_side_and_never_three(tmp_path):
    # 0.3 s an epoch, so that trials overlap by far more than it takes to start one.
    sweep = tiny_sweep(training={"patience": 77}, confirm={"seeds": 0})
    with home_at(tmp_path) as home:
        home.run(sweep, slots=2)
        spans = []
        for run in home.runs().values():
            attempt = run.attempts()[0]
            events, _ = attempt.events()
            spans.append((events[0]["time"], events[-1]["time"]))
    at_once = [sum(a <= time <= b for a, b in spans) for time, _ in spans]
    assert max(at_once) == 2, [datetime.fromtimestamp(a) for a, _ in spans]
