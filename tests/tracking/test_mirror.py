"""The mirror against the record itself, on a real MLflow database."""

import math
import random

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Metric, Param
from pandas.testing import assert_frame_equal
from synthetic_record import Record

from flowbench.tracking import schema
from flowbench.tracking.mirror import Mirror
from flowbench.tracking.reader import read_history, read_runs, read_sweeps
from flowbench.tracking.source import Source

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
