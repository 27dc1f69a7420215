"""From run directories into a real MLflow record and back, as comparisons read it."""

import json
import math
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from synthetic_record import empty_database

from flowbench.errors import InputError
from flowbench.run_directory import RunDirectory, TrialResult, write_atomically
from flowbench.spec.run import RunSpec
from flowbench.tracking import schema
from flowbench.tracking.facts import LONGEST_TEXT, Facts, flattened
from flowbench.tracking.measurements import MeasuredResult, write_evaluation
from flowbench.tracking.provenance import Provenance
from flowbench.tracking.reader import read_artifact, read_history, read_runs, read_sweeps
from flowbench.tracking.record import Recorder

CURVE = [3.0, 2.0, math.inf, 1.5]


def make_run(directory, name, outcome="completed", **changes):
    """Write a run directory the way a driver and a trial do."""
    run = RunDirectory(directory / name)
    run.write_spec(RunSpec.model_validate({
        "family": {"name": "nice", "depth": 4, "hidden": [64, 64]},
        "data": {"name": "moons", "preprocess": [{"name": "standardise"}]},
        "data_seed": 3, "model_seed": 5,
    }))  # fmt: skip
    Provenance(
        stage="tune", sweep="tiny", family="nice", data="moons", trial=2, budget_unit="epochs",
        budget_per_trial=20, budget_trials=8, git_commit="abc", command="flowbench sweep run",
    ).write(run)  # fmt: skip
    attempt = run.attempt(0)
    attempt.create()
    attempt.append_event("start", {
        "device": "2 CPU cores", "data_hash": "d0", "n_parameters": 1234,
        "versions": {"python": "3.11", "torch": "2.13"},
        "baselines": {"gaussian/val/bits_per_dim": 1.95, "entropy/nats": 2.39},
    })  # fmt: skip
    for epoch, value in enumerate(CURVE):
        attempt.append_event("validation", {
            "epoch": epoch, "step": 10 * (epoch + 1), "metrics": {"val/bits_per_dim": value},
            "train": {"train/log_det": epoch / 2},
        })  # fmt: skip
    np.savez(attempt.path / schema.SAMPLES_ARTIFACT, flow=np.zeros((2, 2)), data=np.ones((2, 2)))
    points = pd.DataFrame({"row": [4, 9], "log_prob": [-1.0, -math.inf], "se": [0.0, 0.0]})
    points.to_parquet(attempt.path / schema.POINTS_ARTIFACT)
    attempt.model.write_bytes(b"a model")
    values = {
        "metrics": {
            "val/bits_per_dim": 1.5, "val/nats": -math.inf, "inversion/flow/xzx/max": math.nan,
            "val/gain_over_gaussian": math.inf,
        },
        "labels": {"log_det": "exact", "data": "density"}, "epochs": 4, "steps": 40,
        "seconds": 12.5, "device_seconds": 10.0, **changes,
    }  # fmt: skip
    attempt.write_result(TrialResult(outcome=outcome, **values))
    return run


@pytest.fixture
def record(tmp_path):
    """An empty SQLite record: its address and its recorder."""
    shutil.copy(empty_database(), tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    return uri, Recorder(uri, tmp_path / "artifacts")


@pytest.fixture
def recorded(tmp_path, record):
    uri, recorder = record
    run = make_run(tmp_path, "tiny.nice.moons.0002")
    assert recorder.record_sweep("tiny", "hash", "{}")
    assert recorder.sync([run]) == 0
    return uri, recorder, run


def row_of(uri, name):
    frame = read_runs(uri)
    return frame[frame["run"] == name].iloc[0]


def test_what_a_run_says_comes_back_as_one_row(recorded):
    uri, _, run = recorded
    row = row_of(uri, run.id)
    expected = {
        "sweep": "tiny", "stage": "tune", "family": "nice", "data": "moons",
        "outcome": "completed", "reason": "", "data_seed": 3, "model_seed": 5, "trial": 2,
        "n_parameters": 1234, "attempts": 1, "budget_unit": "epochs", "budget_per_trial": 20,
        "budget_trials": 8, "git_commit": "abc", "command": "flowbench sweep run",
        "data_hash": "d0", "device": "2 CPU cores", "label.log_det": "exact",
        "version.torch": "2.13", "param.family.depth": "4", "param.family.hidden": "[64, 64]",
        "param.data.preprocess": '[{"name": "standardise"}]', "spec_hash": run.spec().hash,
        "val/bits_per_dim": 1.5, "epochs": 4, "seconds": 12.5, "device_seconds": 10.0,
        "baseline/gaussian/val/bits_per_dim": 1.95, "baseline/entropy/nats": 2.39,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert row["started"] <= row["ended"]


def test_infinities_and_nan_survive(recorded):
    uri, _, run = recorded
    row = row_of(uri, run.id)
    assert row["val/nats"] == -math.inf
    assert row["val/gain_over_gaussian"] == math.inf
    assert math.isnan(row["inversion/flow/xzx/max"])


def test_a_learning_curve_is_that_of_the_epochs_and_the_table_shows_the_final_value(recorded):
    uri, _, run = recorded
    row = row_of(uri, run.id)
    curve = read_history(uri, row["mlflow_id"], ["val/bits_per_dim", "train/log_det", "absent"])
    bits = curve[curve["metric"] == "val/bits_per_dim"]
    assert list(bits["step"]) == [0, 1, 2, 3]
    assert list(bits["value"]) == CURVE
    assert list(curve[curve["metric"] == "train/log_det"]["value"]) == [0, 0.5, 1, 1.5]
    assert "absent" not in set(curve["metric"])


def test_the_final_value_counts_though_its_file_looks_older_than_the_last_event(record, tmp_path):
    uri, recorder = record
    run = make_run(tmp_path, "tiny.nice.moons.0000", metrics={"val/bits_per_dim": 0.5})
    last = run.attempt(0).events()[0][-1]["time"]
    os.utime(run.attempt(0).path / "result.json", (last - 0.005, last - 0.005))
    assert recorder.sync([run]) == 0
    row = row_of(uri, run.id)
    assert row["val/bits_per_dim"] == 0.5
    curve = read_history(uri, row["mlflow_id"], ["val/bits_per_dim"])
    assert list(curve["value"]) == CURVE


def test_artifacts_come_back_and_weights_only_of_runs_that_may_be_used(recorded, tmp_path):
    uri, recorder, run = recorded
    mlflow_id = row_of(uri, run.id)["mlflow_id"]
    points = pd.read_parquet(read_artifact(uri, mlflow_id, schema.POINTS_ARTIFACT))
    assert list(points["row"]) == [4, 9]
    spec = json.loads(read_artifact(uri, mlflow_id, schema.SPEC_ARTIFACT).read_text())
    assert RunSpec.model_validate(spec) == run.spec()
    assert read_artifact(uri, mlflow_id, schema.MODEL_ARTIFACT) is None
    for _ in range(2):  # it turned out to be the best of its search
        assert recorder.keep_model(run)
    assert read_artifact(uri, mlflow_id, schema.MODEL_ARTIFACT).read_bytes() == b"a model"
    assert read_artifact(uri, mlflow_id, "nothing") is None


def test_a_run_is_written_once_however_often_and_by_whom(recorded, tmp_path):
    uri, recorder, run = recorded
    for again in (recorder, Recorder(uri, tmp_path / "artifacts")):
        assert again.sync([run]) == 0
        assert again.record_sweep("tiny", "hash", "{}")
    assert len(read_runs(uri)) == 1
    assert list(read_sweeps(uri)["sweep"]) == ["tiny"]
    from mlflow import MlflowClient

    child = MlflowClient(uri).get_run(row_of(uri, run.id)["mlflow_id"])
    assert child.data.tags["mlflow.parentRunId"] == read_sweeps(uri)["mlflow_id"].iloc[0]
    assert child.info.status == "FINISHED"


def test_a_run_whose_writing_was_cut_off_is_completed_not_doubled(tmp_path, record, monkeypatch):
    uri, recorder = record
    run = make_run(tmp_path, "tiny.nice.moons.0000")
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "_end", lambda *_: (_ for _ in ()).throw(OSError("killed here")))
        assert recorder.sync([run]) == 1
    assert Recorder(uri, tmp_path / "artifacts").sync([run]) == 0
    assert len(read_runs(uri)) == 1
    row = row_of(uri, run.id)
    assert row["outcome"] == "completed"
    curve = read_history(uri, row["mlflow_id"], ["val/bits_per_dim"])
    assert list(curve["value"]) == CURVE


def test_a_run_without_a_result_is_not_recorded(tmp_path, record):
    uri, recorder = record
    run = make_run(tmp_path, "tiny.nice.moons.0000")
    (run.attempt(0).path / "result.json").unlink()
    assert recorder.sync([run]) == 0
    assert read_runs(uri).empty


def test_speed_is_a_run_of_its_own_that_names_what_it_measures(recorded):
    uri, recorder, run = recorded
    speed = TrialResult(
        outcome="completed", seconds=3.0, metrics={"sampling/b1/latency_ms": 0.5},
        labels={"device": "alone"},
    )  # fmt: skip
    write_atomically(run.speed_path, speed.model_dump_json())
    assert recorder.sync([run]) == 0
    frame = read_runs(uri).set_index("stage")
    assert frame.loc["speed", "measures"] == run.id
    assert frame.loc["speed", "sampling/b1/latency_ms"] == 0.5
    assert frame.loc["speed", "label.device"] == "alone"
    assert math.isnan(frame.loc["tune", "sampling/b1/latency_ms"])


def test_evaluations_are_runs_of_their_own_and_a_new_record_gets_them_all(recorded, tmp_path):
    uri, recorder, run = recorded
    for bits, command in ((1.4, "flowbench evaluate"), (1.3, "flowbench evaluate --split test")):
        found = MeasuredResult(
            outcome="completed", metrics={"test/bits_per_dim": bits}, labels={"log_det": "bound"},
            git_commit="def", command=command,
        )  # fmt: skip
        write_evaluation(run, found)
    assert recorder.sync([run]) == 0
    (tmp_path / "new").mkdir()
    shutil.copy(empty_database(), tmp_path / "new" / "mlflow.db")
    new = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    assert Recorder(new, tmp_path / "artifacts").sync([run]) == 0
    for each in (uri, new):
        frame = read_runs(each).set_index("run")
        assert sorted(frame.index) == [run.id, f"{run.id}.evaluate-0", f"{run.id}.evaluate-1"]
        later = frame.loc[f"{run.id}.evaluate-1"]
        assert (later["stage"], later["measures"]) == ("evaluate", run.id)
        assert (later["test/bits_per_dim"], later["label.log_det"]) == (1.3, "bound")
        assert (later["command"], later["git_commit"]) == ("flowbench evaluate --split test", "def")
        assert math.isnan(frame.loc[run.id, "test/bits_per_dim"])


def test_every_outcome_is_recorded_with_its_reason_even_a_long_one(tmp_path, record):
    uri, recorder = record
    reason = "the loss is not finite; " * 1000
    run = make_run(tmp_path, "tiny.nice.moons.0000", "diverged", reason=reason, metrics={})
    assert recorder.sync([run]) == 0
    row = row_of(uri, run.id)
    assert row["outcome"] == "diverged"
    assert row["reason"] == reason[:LONGEST_TEXT]
    assert math.isnan(row.get("val/nats", math.nan))


def test_attempts_that_were_lost_are_told_and_their_curves_kept(tmp_path, record):
    uri, recorder = record
    run = make_run(tmp_path, "tiny.nice.moons.0000")
    first = run.attempt(0)
    (first.path / "result.json").unlink()
    first.append_event("end", {"outcome": "lost", "reason": "attempt 0 was ended by signal 9"})
    second = run.attempt(1)
    second.create()
    second.append_event(
        "validation", {"epoch": 3, "step": 40, "metrics": {"val/bits_per_dim": 1.4}}
    )
    second.write_result(TrialResult(outcome="completed", metrics={"val/bits_per_dim": 1.4}))
    assert recorder.sync([run]) == 0
    row = row_of(uri, run.id)
    assert (row["attempts"], row["lost"]) == (2, "attempt 0 was ended by signal 9")
    curve = read_history(uri, row["mlflow_id"], ["val/bits_per_dim"])
    assert list(curve["value"]) == [*CURVE[:3], 1.4]


def test_sweeps_are_read_apart(tmp_path, record):
    uri, recorder = record
    runs = [make_run(tmp_path, f"s{i}.nice.moons.0000") for i in range(2)]
    for i, run in enumerate(runs):
        Provenance(sweep=f"s{i}", stage="tune").write(run)
    recorder.sync(runs)
    assert list(read_runs(uri, "s1")["run"]) == ["s1.nice.moons.0000"]
    assert len(read_runs(uri)) == 2
    assert read_runs(uri, "s2").empty
    with pytest.raises(InputError, match="it's: no such sweep"):
        read_runs(uri, "it's")


def test_a_server_that_is_down_loses_nothing_and_is_sent_all_later(tmp_path):
    """A real MLflow server, which is not there at first."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    run = make_run(tmp_path, "tiny.nice.moons.0000")
    recorder = Recorder(uri, tmp_path / "artifacts")
    assert recorder.record_sweep("tiny", "hash", "{}") is False
    assert recorder.sync([run]) == 1

    shutil.copy(empty_database(), tmp_path / "server.db")
    server = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}",
            "--artifacts-destination", str(tmp_path / "server-artifacts"),
        ],
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not recorder.record_sweep("tiny", "hash", "{}"):
            assert time.monotonic() < deadline
            assert server.poll() is None
        assert recorder.sync([run]) == 0
        row = row_of(uri, run.id)
        assert row["val/bits_per_dim"] == 1.5
        assert row["val/nats"] == -math.inf
        points = read_artifact(uri, row["mlflow_id"], schema.POINTS_ARTIFACT)
        assert list(pd.read_parquet(points)["row"]) == [4, 9]
    finally:
        os.killpg(server.pid, 9)
        server.wait()


def test_a_specification_is_flattened_with_lists_as_json_and_without_what_is_none():
    nested = {"a": {"b": 1, "c": None, "d": [1, {"e": 2}]}, "f": 1e-3}
    assert flattened(nested) == {"a.b": "1", "a.d": '[1, {"e": 2}]', "f": "0.001"}


def test_facts_need_a_result(tmp_path):
    run = make_run(tmp_path, "tiny.nice.moons.0000")
    (run.attempt(0).path / "result.json").unlink()
    with pytest.raises(ValueError, match="has no result yet"):
        Facts.read(run)
