"""The thread that writes the record, while the record refuses or loses its answers."""

import shutil
import sqlite3

import pytest
from mlflow import MlflowClient
from synthetic_record import empty_database
from test_record import make_run

from flowbench.tracking import writer
from flowbench.tracking.reader import read_runs, read_sweeps
from flowbench.tracking.record import Recorder
from flowbench.tracking.writer import RecordWriter


@pytest.fixture
def record(tmp_path):
    """An empty SQLite record: its file, its address and its recorder."""
    file = tmp_path / "mlflow.db"
    shutil.copy(empty_database(), file)
    return file, f"sqlite:///{file}", Recorder(f"sqlite:///{file}", tmp_path / "artifacts")


@pytest.fixture
def runs(tmp_path):
    return [make_run(tmp_path, f"tiny.nice.moons.{number:04d}") for number in range(2)]


def send(recorder, runs):
    """Send as a driver does that was stopped; return how much could not be sent."""
    with RecordWriter(recorder) as record:
        record.add_sweep("tiny", "hash", "{}")
        record.add(runs)
        return record.finish()


def test_a_record_that_can_be_read_and_not_written_is_left_for_later(
    record, runs, monkeypatch, caplog
):
    file, uri, recorder = record
    monkeypatch.setattr(writer, "RETRY_SECONDS", 1.0)
    assert recorder.answers()
    with sqlite3.connect(file) as database:
        refuse = "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        database.execute(f"CREATE TRIGGER refuse BEFORE INSERT ON runs {refuse}")
    assert send(recorder, runs) == 3
    assert [entry.message for entry in caplog.records] == [
        "tiny is not in the record yet: database or disk is full"
    ]
    with sqlite3.connect(file) as database:
        database.execute("DROP TRIGGER refuse")
    assert send(recorder, runs) == 0
    assert list(read_sweeps(uri)["sweep"]) == ["tiny"]
    assert sorted(read_runs(uri)["run"]) == [run.id for run in runs]


def test_what_was_written_before_an_answer_was_lost_is_not_written_again(record, runs, monkeypatch):
    _, uri, recorder = record
    create = MlflowClient.create_run
    lost = []

    def create_and_lose(client, *arguments, tags, **named):
        created = create(client, *arguments, tags=tags, **named)
        if tags["flowbench.run"] not in lost:
            lost.append(tags["flowbench.run"])
            raise ConnectionError("the server went away")
        return created

    monkeypatch.setattr(MlflowClient, "create_run", create_and_lose)
    monkeypatch.setattr(writer, "LEAVING_RETRY_SECONDS", 0.0)
    assert send(recorder, runs) == 0
    assert lost == ["tiny", *(run.id for run in runs)]
    found = MlflowClient(uri).search_runs([recorder._experiment])
    assert len(found) == 3
    assert {run.info.status for run in found} == {"FINISHED"}
