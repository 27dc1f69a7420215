"""Trials that hang, take too long, use too much or go: real ones, under a real driver."""

import pytest
from small_runs import REALNVP, small_spec, validations, write_table

from flowbench.run_directory import RunDirectory, TrialResult
from flowbench.spec.sweep import Resources
from flowbench.sweep import memory
from flowbench.sweep.driver import Driver
from flowbench.sweep.followed import FollowedTrial
from flowbench.sweep.launchers.local import LocalLauncher
from flowbench.sweep.work import Work
from flowbench.tracking.provenance import Provenance

FRAGILE = {"name": "small_flows:Fragile"}


@pytest.fixture
def runs_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "table.npy")


class Dealer:
    """A plan of given runs, which prunes each at an epoch; it looks on, too."""

    how_to_go_on = "go on"

    def __init__(self, home, specs, judged=False, prune_at=None):
        provenance = Provenance(command="test")
        self.waiting = [
            Work(RunDirectory(home / name), spec, provenance, judged=judged)
            for name, spec in specs.items()
        ]
        self.prune_at = prune_at
        self.results = {}
        self.notes = []

    def next(self):
        return self.waiting.pop(0) if self.waiting else None

    def event(self, work, event):
        return event.get("epoch") == self.prune_at if event["kind"] == "validation" else False

    def finished(self, work, result):
        self.results[work.run.id] = result

    def tick(self):
        return ()

    def note(self, sentence):
        self.notes.append(sentence)

    def started(self, work, attempt):
        pass

    ended = started
    done = True


def drive(runs_home, specs, *, slots=1, limits=(), **plan):
    dealer = Dealer(runs_home, specs, **plan)
    driver = Driver(dealer, LocalLauncher(slots), dealer, limits=Resources(**dict(limits)))
    driver.run()
    return dealer


def attempt_of(runs_home, name):
    return RunDirectory(runs_home / name).attempts()[-1]


def test_a_trial_that_hangs_is_ended_and_its_log_says_where(table, runs_home):
    specs = {
        "hangs": small_spec(table, {**FRAGILE, "fails": "hang", "after": 6}),
        "ranks": small_spec(table, {**FRAGILE, "fails": "hang", "after": 6}, devices=2),
        "slow": small_spec(table, {**FRAGILE, "fails": "sleep"}, max_epochs=11),
    }
    results = drive(runs_home, specs, slots=3, limits={"hang_seconds": 8}).results
    for name in ("hangs", "ranks"):
        assert results[name].outcome == "timed_out"
        assert results[name].reason.startswith("it hung: no sign of progress for 8 seconds, after")
        assert "small_flows.py" in attempt_of(runs_home, name).log.read_text()
        assert results[name] == attempt_of(runs_home, name).result()
    assert results["slow"].outcome == "completed"
    assert results["slow"].seconds > 8  # it moved all the time


def test_a_trial_may_take_so_long_and_no_longer(table, runs_home):
    spec = small_spec(table, {**FRAGILE, "fails": "sleep"}, max_epochs=10**6)
    result = drive(runs_home, {"run": spec}, limits={"trial_seconds": 2}).results["run"]
    assert (result.outcome, result.reason) == ("timed_out", "it took longer than 2 seconds")
    assert result.device_seconds >= 2


def test_a_trial_beyond_its_memory_says_so_and_smaller_ones_go_on(table, runs_home):
    specs = {
        "eats": small_spec(table, {**FRAGILE, "fails": "eat", "after": 4}),
        "ranks": small_spec(table, {**FRAGILE, "fails": "eat", "after": 4}, devices=2),
        "modest": small_spec(table, REALNVP),
    }
    results = drive(runs_home, specs, limits={"memory_gib": 0.75}).results
    assert {name: result.outcome for name, result in results.items()} == {
        "eats": "out_of_memory", "ranks": "out_of_memory", "modest": "completed"
    }  # fmt: skip
    assert "RuntimeError" in results["eats"].reason or "MemoryError" in results["eats"].reason


def test_a_trial_that_leaves_without_a_result_is_at_fault(table, runs_home):
    spec = small_spec(table, {**FRAGILE, "fails": "leave", "after": 4})
    result = drive(runs_home, {"run": spec}).results["run"]
    assert result.outcome == "code_error"
    assert result.reason.startswith("it ended with exit code 0 and no result")


def test_a_trial_that_is_killed_goes_on_so_often(table, runs_home):
    spec = small_spec(table, {**FRAGILE, "fails": "killed", "after": 6})
    dealer = drive(runs_home, {"run": spec}, limits={"retries": 1})
    assert dealer.results["run"].outcome == "lost"
    assert "lost 2 times, at last: attempt 1 was ended by signal 9" in dealer.results["run"].reason
    assert dealer.notes == [
        "run: attempt 0 was ended by signal 9; it goes on in a new attempt"
    ]  # fmt: skip


def test_a_trial_that_the_kernel_kills_for_memory_is_not_begun_again(
    table, runs_home, tmp_path, monkeypatch
):
    counter = tmp_path / "vmstat"
    counter.write_text("pgfault 7\noom_kill 3\n")
    monkeypatch.setattr(memory, "COUNTERS", (tmp_path / "absent", counter))

    class Killing(Dealer):
        def event(self, work, event):
            if event["kind"] == "validation":
                counter.write_text("pgfault 9\noom_kill 4\n")
            return False

    spec = small_spec(table, {**FRAGILE, "fails": "killed", "after": 6})
    dealer = Killing(runs_home, {"run": spec})
    Driver(dealer, LocalLauncher(), dealer).run()
    assert dealer.results["run"].outcome == "out_of_memory"
    assert len(RunDirectory(runs_home / "run").attempts()) == 1


@pytest.mark.parametrize("devices", [1, 2])
def test_a_verdict_reaches_all_ranks_in_the_same_step(devices, table, runs_home):
    # An epoch takes a few hundredths of a second: unless trials wait, they are far ahead.
    spec = small_spec(table, max_epochs=400, devices=devices)
    dealer = drive(runs_home, {"run": spec}, judged=True, prune_at=4)
    result = dealer.results["run"]
    assert (result.outcome, result.epochs, result.steps) == ("pruned", 4, 16)
    assert [event["epoch"] for event in validations(attempt_of(runs_home, "run"))] == [1, 2, 3, 4]


class Waiting:
    """A job in a cluster's queue."""

    def __init__(self):
        self.begun = False

    def running(self):
        return self.begun


def test_time_in_a_queue_does_not_count(runs_home, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("flowbench.sweep.followed.time.monotonic", lambda: clock[0])
    run = RunDirectory(runs_home / "run")
    attempt = run.attempt(0)
    attempt.create()
    work = Work(run, small_spec("x.npy"), Provenance())
    job = Waiting()
    trial = FollowedTrial(work, attempt, job, Resources(hang_seconds=50, trial_seconds=200))
    clock[0] += 1000
    assert trial.overdue() is None
    job.begun = True
    for _ in range(4):
        assert trial.overdue() is None
        clock[0] += 40
        attempt.append_event("stage", {"stage": "data"})
        assert len(trial.new_events()) == 1
    clock[0] += 51
    result = trial.overdue()
    assert isinstance(result, TrialResult)
    assert "200 seconds" in result.reason
