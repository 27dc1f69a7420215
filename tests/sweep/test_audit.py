"""The audit of a sweep: silent where all accounts agree, and each way to disagree is named."""

import shutil

import optuna
import pytest
from stand_in_sweep import home_at, tiny_sweep
from synthetic_record import empty_database

from flowbench.run_directory import RunDirectory, TrialResult
from flowbench.sweep.audit import audit
from flowbench.sweep.sending import send_everything
from flowbench.sweep.storage import Storage
from flowbench.tracking.record import Recorder, open_recorder
from flowbench.tracking.removal import forget
from flowbench.tracking.store import default_tracking_uri

FIRST = "tiny.nice.moons.0000"


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    families = {"nice": {}, "planar": {"fixed": {"family.behave": "diverge"}}}
    with home_at(tmp_path_factory.mktemp("audit")) as home:
        home.run(tiny_sweep(families=families, budget={"per_trial": 1, "trials": 2}))
        yield home


@pytest.fixture
def home(swept, tmp_path, monkeypatch):
    """A copy of the finished sweep, to be damaged."""
    shutil.copytree(swept.path, tmp_path / "runs")
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))
    return tmp_path / "runs"


def test_a_finished_sweep_has_nothing_to_disagree_on(swept):
    assert audit("tiny") == []


def test_a_run_that_is_missing_is_found(home):
    shutil.rmtree(home / FIRST)
    assert f"{FIRST} has no directory" in audit("tiny")
    assert f"the record has {FIRST} 1 times" in audit("tiny")


def test_a_run_that_was_done_twice_is_found(home):
    again = RunDirectory(home / FIRST).attempt(1)
    again.create()
    again.write_result(TrialResult(outcome="completed"))
    assert f"{FIRST} was run to its end 2 times" in audit("tiny")


def test_another_outcome_and_another_number_are_found(home):
    file = home / FIRST / "attempt-0" / "result.json"
    told = TrialResult.model_validate_json(file.read_text())
    changed = {"outcome": "diverged", "metrics": {"val/bits_per_dim": 9.5}}
    file.write_text(told.model_copy(update=changed).model_dump_json())
    found = audit("tiny")
    assert f"{FIRST} diverged, but Optuna knows completed" in found
    assert f"{FIRST} diverged, but the record has 'completed'" in found
    was = told.metrics["val/bits_per_dim"]
    assert f"val/bits_per_dim of {FIRST} is 9.5, but {was} in the record" in found


def test_a_trial_over_the_budget_and_one_that_never_ended_are_found(home):
    study = optuna.load_study(study_name="tiny/nice/moons", storage=Storage().studies())
    study.ask()
    assert audit("tiny") == []  # over the budget: no driver goes on with it
    (home / "tiny.nice.moons.0007").mkdir()
    shutil.copy(home / FIRST / "spec.json", home / "tiny.nice.moons.0007" / "spec.json")
    found = audit("tiny")
    assert "tiny.nice.moons.0007 has a directory, but should not have been run" in found
    assert "tiny.nice.moons.0007 has no result" in found


def test_what_the_record_lost_is_found_and_sent_again(home):
    forget(default_tracking_uri(), [FIRST])
    assert audit("tiny") == [f"the record has {FIRST} 0 times"]
    assert send_everything(open_recorder()) == 0
    assert audit("tiny") == []


def test_what_the_record_has_only_in_part_is_found_and_sent_again(home, monkeypatch):
    uri = default_tracking_uri()
    forget(uri, [FIRST])

    def cut_off(*args):
        raise OSError("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "_end", cut_off)
        assert send_everything(open_recorder()) == 1
    assert audit("tiny") == [f"the record has {FIRST} only in part"]
    assert send_everything(open_recorder()) == 0
    assert audit("tiny") == []


def test_a_record_that_was_deleted_is_made_anew(home):
    shutil.copy(empty_database(), home / "other.db")
    uri = f"sqlite:///{home / 'other.db'}"
    assert "the record has tiny 0 times" in audit("tiny", tracking_uri=uri)
    assert send_everything(Recorder(uri, home / "artifacts")) == 0
    assert audit("tiny", tracking_uri=uri) == []
