"""The files between a trial and its driver."""

import json
import math

import pytest

from flowbench.errors import InputError
from flowbench.run_directory import (
    RunDirectory,
    TrialResult,
    find_model,
    find_run,
    home,
    write_atomically,
)
from flowbench.spec.run import RunSpec

SPEC = RunSpec.model_validate({"family": {"name": "nice", "depth": 2}, "data": {"name": "moons"}})


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path))
    run = RunDirectory(home() / "a-run")
    run.write_spec(SPEC)
    return run


def test_a_result_that_is_not_finite_can_be_read_back(run):
    attempt = run.attempt(0)
    attempt.create()
    metrics = {"val/bits_per_dim": math.inf, "val/nats": -math.inf, "inversion": math.nan}
    attempt.write_result(TrialResult(outcome="completed", metrics=metrics))
    back = run.result().metrics
    assert (back["val/bits_per_dim"], back["val/nats"]) == (math.inf, -math.inf)
    assert math.isnan(back["inversion"])


def test_events_are_read_in_whole_lines_and_from_where_reading_stopped(run):
    attempt = run.attempt(0)
    attempt.create()
    attempt.append_event("start", {"device": "cpu"})
    first, offset = attempt.events()
    assert [event["kind"] for event in first] == ["start"]
    path = attempt.path / "events.jsonl"
    line = json.dumps({"kind": "validation", "metrics": {"val/nats": math.nan}})
    with path.open("a") as file:
        file.write(line[:10])
    assert attempt.events(offset) == ([], offset)
    with path.open("a") as file:
        file.write(line[10:] + "\n")
    (event,), end = attempt.events(offset)
    assert math.isnan(event["metrics"]["val/nats"])
    assert end == path.stat().st_size


def test_a_line_cut_off_by_a_kill_is_passed_over(run):
    attempt = run.attempt(0)
    attempt.create()
    attempt.append_event("start", {})
    with (attempt.path / "events.jsonl").open("a") as file:
        file.write('{"kind": "validat')
    attempt.append_event("end", {"outcome": "lost"})  # the driver's own word, on the same line
    attempt.append_event("end", {"outcome": "lost"})
    assert [event["kind"] for event in attempt.events()[0]] == ["start", "end"]


def test_the_newest_attempt_counts(run):
    for number in (0, 1, 10):
        run.attempt(number).create()
    run.attempt(0).write_result(TrialResult(outcome="lost"))
    run.attempt(10).write_result(TrialResult(outcome="completed"))
    run.attempt(1).model.write_bytes(b"model")
    assert [attempt.number for attempt in run.attempts()] == [0, 1, 10]
    assert run.result().outcome == "completed"
    assert run.finished_attempt().number == 1


def test_an_attempt_is_made_once(run):
    run.attempt(0).create()
    with pytest.raises(FileExistsError):
        run.attempt(0).create()


def test_writing_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "result.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_is_found_by_its_name_or_its_path_and_a_model_by_either(run):
    assert find_run("a-run").spec() == find_run(str(run.path)).spec() == SPEC
    assert find_run("b-run") is None
    with pytest.raises(InputError, match="a-run: this run has no model"):
        find_model("a-run")
    run.attempt(0).create()
    run.attempt(0).model.write_bytes(b"model")
    assert find_model("a-run") == find_model(str(run.attempt(0).model)) == run.attempt(0).model
    with pytest.raises(InputError, match="b-run: neither a checkpoint file nor a run under"):
        find_model("b-run")
