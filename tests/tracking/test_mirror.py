"""The mirror against the record itself, on a real MLflow database."""

import math
import os
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from mlflow.entities import Metric, Param
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal
from synthetic_record import Record, RecordedRun

from flowbench.errors import InputError
from flowbench.tracking import schema
from flowbench.tracking.mirror import Mirror
from flowbench.tracking.mirror import mirror as mirror_module
from flowbench.tracking.reader import read_history, read_runs, read_sweeps
from flowbench.tracking.source import Source

NAMES = ["metric", "step", "value"]
NOW = 1_800_000_000_000
VALUES = (1.5, -2.0, math.nan, math.inf, -math.inf)


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Source, "page", 3)  # so that a few runs are many pages
    return Record(tmp_path)


class Driver:
    """Does at random what drivers, users and outages do to a record, in its own time."""

    def __init__(self, record, seed):
        self.client = record.client
        self.experiment = record.experiment
        self.chance = random.Random(seed)
        self.clock = NOW
        self.alive, self.deleted, self.running = [], [], []

    def do(self, what):
        self.clock += self.chance.randrange(3)  # several things happen in one millisecond
        getattr(self, what)()

    def begin(self, stage=None, started=None, **tags):
        number = len(self.alive) + len(self.deleted)
        stage = stage or self.chance.choice(["tune", "confirm", "single"])
        tags = {
            schema.RUN: f"run.{number}", schema.STAGE: stage, schema.FAMILY: "nice",
            schema.SWEEP: self.chance.choice(["one", "two"]),
            f"{schema.LABEL_PREFIX}{self.chance.choice(['log_det', 'data'])}": "exact",
            schema.TRIAL: str(number), **tags,
        }  # fmt: skip
        begun = self.clock - self.chance.randrange(50) if started is None else started
        run = self.client.create_run(self.experiment, begun, tags).info.run_id
        self.alive.append(run)
        self.running.append(run)
        return run

    def measure(self, run=None):
        run = run or (self.chance.choice(self.running) if self.running else self.begin())
        key = self.chance.choice(["val/nats", "test/nats", "inversion/points"])
        metric = Metric(key, self.chance.choice(VALUES), self.clock, self.chance.randrange(4))
        parameters = [Param(f"family.{key.partition('/')[0]}", "1")]
        self.client.log_batch(run, [metric], parameters)

    def finish(self, run=None, ended=None):
        if not self.running:
            self.begin()
        run = run or self.chance.choice(self.running)
        self.running.remove(run)
        status = self.chance.choice(["FINISHED", "FAILED"])
        self.client.set_terminated(run, status, ended or self.clock)

    def complete(self):
        run = self.begin()
        self.measure(run)
        self.finish(run)

    def come_late(self):
        """A run that ended before what the record has, sent after an outage."""
        past = NOW - self.chance.randrange(1000)
        run = self.begin(started=past)
        self.measure(run)
        self.finish(run, past + 1)

    def measure_again(self):
        run = self.begin("speed", **{schema.MEASURES: "run.0"})
        self.measure(run)
        self.finish(run)

    def parent(self):
        self.finish(self.begin(schema.SWEEP_STAGE, **{schema.SWEEP_HASH: f"{len(self.alive)}"}))

    def foreign(self):
        """A run that another program writes into the same experiment."""
        made = self.client.create_run(self.experiment, self.clock).info.run_id
        self.alive.append(made)
        self.client.log_batch(made, [Metric("run", 1.0, self.clock, 0)])
        self.client.set_terminated(made, end_time=self.clock)

    def remove(self):
        if self.alive:
            run = self.alive.pop(self.chance.randrange(len(self.alive)))
            self.deleted.append(run)
            self.running = [other for other in self.running if other != run]
            self.client.delete_run(run)

    def restore(self):
        if self.deleted:
            run = self.deleted.pop(self.chance.randrange(len(self.deleted)))
            self.client.restore_run(run)
            self.alive.append(run)

    def collect_garbage(self):
        """`mlflow gc`: what is deleted is gone."""
        for run in self.deleted:
            self.client._tracking_client.store._hard_delete_run(run)
        self.deleted = []


DEEDS = [
    "begin", "measure", "finish", "complete", "complete", "complete", "come_late",
    "measure_again", "parent", "foreign", "remove", "restore",
]  # fmt: skip


def agrees(mirror, uri):
    for sweep in (None, "one", "none"):
        assert_frame_equal(mirror.runs(sweep), read_runs(uri, sweep))
    assert_frame_equal(mirror.sweeps(), read_sweeps(uri), check_dtype=False)


@pytest.mark.parametrize("seed", range(4))
def test_mirror_equals_the_record_whatever_happens_to_it(record, seed):
    driver, mirror = Driver(record, seed), Mirror(record.uri)
    for _ in range(12):
        for _ in range(driver.chance.randrange(1, 6)):
            driver.do(driver.chance.choice(DEEDS))
        mirror.synchronise()
        agrees(mirror, record.uri)
    driver.collect_garbage()
    mirror.synchronise()
    agrees(mirror, record.uri)
    agrees(Mirror(record.uri), record.uri)  # by the file alone


@pytest.fixture
def read(monkeypatch):
    """Counts the runs that are read from the record."""
    counts = [0]
    page = Source._page

    def counted(source, *arguments, **options):
        answer = page(source, *arguments, **options)
        counts[0] += len(answer[0])
        return answer

    monkeypatch.setattr(Source, "_page", counted)
    return counts


def filled(record, runs):
    driver = Driver(record, 0)
    for _ in range(runs):
        driver.clock += 10
        driver.complete()
    return driver


def test_what_is_known_is_not_read_again(record, read):
    driver, mirror = filled(record, 40), Mirror(record.uri)
    seen = []
    mirror.synchronise(lambda done, total: seen.append((done, total)))
    assert seen == [(min(n, 40), 40) for n in range(3, 43, 3)]
    version, read[0] = mirror.version, 0
    mirror.synchronise(lambda *_: pytest.fail("nothing took long"))
    assert read[0] <= 4  # the last that ended, and one at the end of each count
    assert mirror.version == version
    for deed in (driver.complete, driver.remove, driver.come_late, driver.restore):
        deed()
        read[0] = 0
        mirror.synchronise()
        assert mirror.version != version
        assert read[0] <= 3 * 3 + 2 * 2 * math.ceil(math.log2(40))  # pages, and counts of halves
        agrees(mirror, record.uri)
        version = mirror.version


def test_a_database_that_was_not_written_is_not_asked(record, monkeypatch):
    driver, mirror = filled(record, 5), Mirror(record.uri)
    database = record.directory / "mlflow.db"

    def written(ago):
        then = time.time() - ago
        os.utime(database, (then, then))

    def asked():
        found = []
        with monkeypatch.context() as patch:
            patch.setattr(Source, "of", found.append)
            Mirror(record.uri).synchronise()
        return bool(found)

    written(60)
    mirror.synchronise()
    assert not asked()
    driver.complete()
    mirror.synchronise()  # so short after it was written, a second writing would not show
    agrees(mirror, record.uri)
    assert asked()
    mirror.synchronise()
    written(30)
    mirror.synchronise()
    assert not asked()
    (mirror.path / "runs.parquet").unlink()
    assert asked()


def test_runs_of_another_database_at_the_same_address_are_not_kept(record):
    filled(record, 7)
    mirror = Mirror(record.uri)
    mirror.synchronise()
    (record.directory / "mlflow.db").unlink()
    mirror.synchronise()
    assert mirror.runs().empty
    assert list(mirror.runs()) == list(read_runs(record.uri))


def test_a_new_format_and_a_damaged_file_make_a_mirror_anew(record, monkeypatch):
    filled(record, 7)
    old = Mirror(record.uri)
    old.synchronise()
    monkeypatch.setattr(mirror_module, "FORMAT", "next")
    new = Mirror(record.uri)
    assert new.runs().empty
    new.synchronise()
    agrees(new, record.uri)
    assert not old.path.exists()
    (new.path / "runs.parquet").write_bytes(b"PAR1 half a file")
    assert new.runs().empty
    new.synchronise()
    agrees(new, record.uri)


def test_curves_are_read_once_of_runs_that_ended_and_dropped_with_them(record, monkeypatch):
    driver = Driver(record, 1)
    ended, running = driver.begin(), driver.begin()
    for run in (ended, running):
        for step in (1, 2, 0):
            metrics = [
                Metric("val/nats", VALUES[step + 2], NOW + step, step),
                Metric("val/nats", 7.0, NOW + 9, step),  # a later value is no point of the curve
            ]
            record.client.log_batch(run, metrics)
    driver.finish(ended)
    mirror, names = Mirror(record.uri), ["val/nats", "val/none"]
    mirror.synchronise()
    for run in (ended, running):
        assert_frame_equal(mirror.history(run, names), read_history(record.uri, run, names))
    both = mirror.histories([running, ended], names)
    assert list(both["mlflow_id"]) == [running] * 3 + [ended] * 3
    assert list(both["step"]) == [0, 1, 2] * 2
    assert_array_equal(both["value"], [math.nan, math.inf, -math.inf] * 2)

    record.client.log_metric(running, "val/nats", 1.0, NOW, 3)
    assert list(mirror.history(running, names)["step"]) == [0, 1, 2, 3]
    with monkeypatch.context() as patch:
        patch.setattr("flowbench.tracking.mirror.curves.read_curve", None)
        assert_frame_equal(mirror.history(ended, names), both[3:6].reset_index(drop=True)[NAMES])
    (mirror.path / "curves.db").write_bytes(b"no database" * 400)
    assert_frame_equal(mirror.history(ended, names), both[3:6].reset_index(drop=True)[NAMES])
    record.client.delete_run(ended)
    record.client._tracking_client.store._hard_delete_run(ended)
    mirror.synchronise()
    assert mirror.history(ended, names).empty


def test_files_of_a_local_record_are_where_they_are(record):
    points = pd.DataFrame({"row": [0, 1], "log_prob": [1.0, 2.0], "se": 0.0})
    record.add(RecordedRun("with", "nice", "moons", points=points))
    record.add(RecordedRun("without", "nice", "moons"))
    mirror = Mirror(record.uri)
    mirror.synchronise()
    ids = mirror.runs().set_index("run")["mlflow_id"]
    path = mirror.artifact(ids["with"], schema.POINTS_ARTIFACT)
    assert_frame_equal(pd.read_parquet(path), points)
    assert path.is_relative_to(record.directory / "artifacts")
    assert mirror.artifact(ids["without"], schema.POINTS_ARTIFACT) is None


def process(record, *lines):
    """Start another program that uses the mirror in pages of three."""
    text = ["from flowbench.tracking.source import Source", "Source.page = 3",
            "from flowbench.tracking.mirror import Mirror, catching_up, table",
            f"mirror = Mirror({record.uri!r})", *lines]  # fmt: skip
    return subprocess.Popen([sys.executable, "-c", "\n".join(text)], stderr=subprocess.PIPE)


def test_a_kill_in_the_middle_of_a_file_loses_nothing_that_was_kept(record, read):
    filled(record, 40)
    lines = """
import os, signal
catching_up.KEPT_EVERY = 6
write, written = table.pq.write_table, []
def cut_off(runs, path):
    write(runs, path)
    written.append(path)
    if len(written) == 3:
        os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
table.pq.write_table = cut_off
mirror.synchronise()
"""
    killed = process(record, lines)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    mirror = Mirror(record.uri)
    assert len(mirror.runs()) == 12
    assert list(mirror.path.glob(".runs.parquet.*"))
    read[0] = 0
    mirror.synchronise()
    assert 28 <= read[0] < 40
    assert not list(mirror.path.glob(".runs.parquet.*"))
    agrees(mirror, record.uri)


def test_two_processes_bring_one_mirror_up_to_date_while_it_is_read(record):
    driver, mirror = filled(record, 20), Mirror(record.uri)
    lines = "for _ in range(8): mirror.synchronise(); assert len(mirror.runs()) >= 20"
    both = [process(record, lines) for _ in range(2)]
    before = set()
    while any(one.poll() is None for one in both):
        if len(driver.alive) < 40:
            driver.complete()
        names = mirror.runs()["run"]
        assert names.is_unique
        assert before <= set(names)
        before = set(names)
        time.sleep(0.05)
    assert [one.communicate()[1] for one in both] == [b"", b""]
    mirror.synchronise()
    agrees(mirror, record.uri)


def test_a_record_that_does_not_answer_is_said_and_what_is_known_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path))
    mirror = Mirror("http://someone:secret@127.0.0.1:9")
    with pytest.raises(InputError) as raised:
        mirror.synchronise()
    assert str(raised.value).startswith("http://127.0.0.1:9: the record cannot be read: ")
    assert "secret" not in f"{raised.value}{mirror.path}"
    assert mirror.runs().empty
