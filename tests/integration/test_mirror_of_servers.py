"""The mirror of records that servers keep, and the pages on them."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from urllib.request import urlopen

import optuna
import pandas as pd
import psutil
import pytest
from mlflow.entities import Metric
from pandas.testing import assert_frame_equal

from flowbench.errors import InputError
from flowbench.sweep.storage import Storage
from flowbench.tracking import schema
from flowbench.tracking.mirror import Mirror
from flowbench.tracking.reader import read_artifact, read_history, read_runs, read_sweeps
from flowbench.tracking.source import Source
from flowbench.tracking.store import connect, default_tracking_uri

pytestmark = pytest.mark.integration
METRIC = "val/bits_per_dim"


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch):
    monkeypatch.setattr(Source, "page", 4)


def some_runs(uri, number):
    """Write runs of which some are running, and return a client and their names in MLflow."""
    client = connect(uri)
    known = client.get_experiment_by_name(schema.EXPERIMENT)
    experiment = known.experiment_id if known else client.create_experiment(schema.EXPERIMENT)
    runs = []
    for i in range(number):
        tags = {schema.RUN: f"run.{i}", schema.STAGE: "tune", schema.SWEEP: "some"}
        runs.append(client.create_run(experiment, 1_800_000_000_000 + i, tags).info.run_id)
        metrics = [Metric(METRIC, value, 5, step) for step, value in enumerate((3.0, 2.0, 1e309))]
        client.log_batch(runs[-1], metrics)
        if i % 5:
            client.set_terminated(runs[-1], end_time=1_800_000_000_000 + 2 * i)
    return client, runs


def agrees(mirror, uri):
    mirror.synchronise()
    assert_frame_equal(mirror.runs(), read_runs(uri))
    assert_frame_equal(mirror.sweeps(), read_sweeps(uri), check_dtype=False)


def follows(uri):
    """Check a mirror while runs end, come and go; return it, a client and the runs."""
    client, runs = some_runs(uri, 22)
    mirror, chance = Mirror(uri), random.Random(0)
    agrees(mirror, uri)
    for _ in range(4):
        for run in chance.sample(runs, 3):
            client.delete_run(run)
            runs.remove(run)
        client.set_terminated(runs[0], end_time=1_700_000_000_000)
        agrees(mirror, uri)
        runs += some_runs(uri, 2)[1]
    agrees(mirror, uri)
    return mirror, client, runs


def test_a_mirror_follows_a_server_and_answers_when_it_is_gone(
    mlflow_server, tmp_path, monkeypatch
):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "home"))
    uri = mlflow_server.uri
    _, client, runs = follows(uri)
    run = next(run for run in runs if client.get_run(run).info.end_time)
    points = pd.DataFrame({"row": [0], "log_prob": [1.0], "se": [0.0]})
    points.to_parquet(tmp_path / schema.POINTS_ARTIFACT)
    client.log_artifact(run, str(tmp_path / schema.POINTS_ARTIFACT))
    there = Mirror(uri)
    curve = there.histories(runs, [METRIC])
    assert_frame_equal(there.history(run, [METRIC]), read_history(uri, run, [METRIC]))
    copy = there.artifact(run, schema.POINTS_ARTIFACT)
    assert copy.is_relative_to(tmp_path / "home")
    assert copy.read_bytes() == read_artifact(uri, run, schema.POINTS_ARTIFACT).read_bytes()
    assert there.artifact(run, schema.SAMPLES_ARTIFACT) is None
    before = there.runs()

    mlflow_server.kill()
    away = Mirror(uri)
    with pytest.raises(InputError, match=f"{re.escape(uri)}: the record cannot be read"):
        away.synchronise()
    assert_frame_equal(away.runs(), before)
    ended = set(before.dropna(subset="ended")["mlflow_id"]) & set(runs)
    kept = away.histories([run for run in runs if run in ended], [METRIC])
    assert_frame_equal(kept, curve[curve["mlflow_id"].isin(ended)].reset_index(drop=True))
    assert away.artifact(run, schema.POINTS_ARTIFACT) == copy
    assert away.artifact(run, schema.SAMPLES_ARTIFACT) is None


def test_a_mirror_follows_postgresql(database):
    mirror, *_ = follows(default_tracking_uri())
    assert "flowbench@" not in str(mirror.path)


@pytest.mark.parametrize("what", ["mlflow", "optuna"])
def test_pages_on_postgresql_show_its_schemas_and_no_password(database, what):
    some_runs(default_tracking_uri(), 2)
    optuna.create_study(study_name="some/nice/moons", storage=Storage().studies())
    command = [sys.executable, "-m", "flowbench.cli", what, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
    try:
        address = process.stdout.readline().split()[-1]
        parent = psutil.Process(process.pid)
        processes = [parent, *parent.children(recursive=True)]
        assert not any("flowbench@" in " ".join(each.cmdline()) for each in processes)
        paths = {
            "mlflow": "ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name=flowbench",
            "optuna": "api/studies",
        }
        with urlopen(f"{address}/{paths[what]}", timeout=30) as answer:
            found = json.load(answer)
        if what == "mlflow":
            assert found["experiment"]["name"] == "flowbench"
        else:
            assert [each["study_name"] for each in found["study_summaries"]] == ["some/nice/moons"]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert not any(each.is_running() for each in processes)
