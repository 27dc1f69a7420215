"""Drivers that are killed, stopped or refused, as real processes, and how their sweeps go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from stand_in_sweep import tiny_sweep

from flowbench.errors import InputError
from flowbench.run_directory import home
from flowbench.sweep import resume_sweep, sweep_status
from flowbench.sweep.directory import SweepDirectory
from flowbench.sweep.disk import DiskFull, sentence_when_full
from flowbench.sweep.launchers.base import Lease
from flowbench.tracking.reader import read_runs
from flowbench.tracking.store import default_tracking_uri

SLOW = {"nice": {"fixed": {"family.behave": "slow"}}, "glow": {}}
PATIENCE = 60
"""Seconds within which a process must have done what is waited for."""


def wait_until(what):
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def driver(runs_home, sweep):
    """Start a driver; return its process once two trials run."""
    file = runs_home.path / f"{sweep.name}.json"
    file.write_text(sweep.model_dump_json())
    before = len(runs_home.started())
    here = Path(__file__)
    process = subprocess.Popen(
        [sys.executable, str(here.with_name("drive.py")), str(file)],
        env={**os.environ, "PYTHONPATH": str(here.parents[1])},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_until(lambda: len(runs_home.started()) >= before + 2 or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    return process


def living(runs_home):
    """The trial processes that leases name and that still run."""
    attempts = [a for run in runs_home.runs().values() for a in run.attempts()]
    leases = [Lease.read(attempt) for attempt in attempts]
    return [lease.pid for lease in leases if lease is not None and lease.alive]


def test_a_sweep_whose_driver_was_killed_goes_on_and_loses_nothing(runs_home):
    families = {"glow": {}, "nice": {"fixed": {"family.behave": "slow"}}}
    sweep = tiny_sweep(families=families, budget={"per_trial": 2, "trials": 3})
    killed = driver(runs_home, sweep)
    wait_until(lambda: sum(run.result() is not None for run in runs_home.runs().values()) >= 2)
    stuck = {"tiny.nice.moons.0000", "tiny.nice.moons.0001"}
    wait_until(lambda: {trial.run for trial in sweep_status("tiny").running} == stuck)
    status = sweep_status("tiny")
    assert (status.state, status.driver) == ("running", killed.pid)
    assert status.running_since == pytest.approx(time.time(), abs=PATIENCE)
    assert status.expected_end > time.time()
    killed.kill()
    killed.wait()

    finished = {id_: run.result() for id_, run in runs_home.runs().items() if run.result()}
    orphans = living(runs_home)  # real trials end with their driver; these do not
    status = sweep_status("tiny")
    assert (status.state, status.driver) == ("stopped", None)
    assert status.how_to_go_on == "flowbench sweep resume tiny"

    before = len(runs_home.started())
    second = driver(runs_home, sweep)
    wait_until(lambda: {(run, 1) for run in stuck} <= set(runs_home.started()))
    assert len(orphans) == 2
    assert not any(psutil.pid_exists(pid) and is_running(pid) for pid in orphans)
    (runs_home.path / "go").touch()
    out, _ = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0, out

    again = runs_home.started()[before:]
    assert {run for run, number in again if number == 1} == stuck
    assert not {run for run, _ in again} & set(finished)
    for run_id, result in finished.items():
        assert runs_home.runs()[run_id].result() == result
    assert set(runs_home.outcomes().values()) == {"completed"}
    assert sweep_status("tiny").counts == {
        "tune": {"completed": 6}, "confirm": {"completed": 4}, "speed": {"completed": 2}
    }  # fmt: skip
    for family in sweep.families:
        assert [trial.number for trial in runs_home.trials(family)] == [0, 1, 2]
    record = read_runs(default_tracking_uri(), "tiny")
    assert record["run"].value_counts().max() == 1
    assert len(record) == 12


def is_running(pid):
    return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_driver_ends_its_trials_and_says_how_to_go_on(runs_home, number, code):
    sweep = tiny_sweep(families=SLOW, budget={"per_trial": 1, "trials": 1}, confirm={"seeds": 0})
    process = driver(runs_home, sweep)
    wait_until(lambda: living(runs_home))
    process.send_signal(number)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert "stopped; to go on: flowbench sweep resume tiny" in out
    assert "Traceback" not in out
    assert living(runs_home) == []
    assert sweep_status("tiny").counts["tune"]["interrupted"] == 1

    (runs_home.path / "go").touch()
    status = runs_home.run(sweep)
    assert status.counts["tune"] == {"completed": 2}
    assert [a.number for a in runs_home.runs()["tiny.nice.moons.0000"].attempts()] == [0, 1]


def test_a_second_driver_and_a_changed_sweep_are_refused(runs_home):
    sweep = tiny_sweep(budget={"per_trial": 1, "trials": 1}, confirm={"seeds": 0})
    with (
        SweepDirectory(home() / "tiny").locked(),
        pytest.raises(InputError, match=f"tiny is being run by process {os.getpid()}"),
    ):
        runs_home.run(sweep)
    runs_home.run(sweep)
    with pytest.raises(InputError, match=r"name = 'tiny': a sweep of this name exists with other"):
        runs_home.run(tiny_sweep(seed=1))


def test_more_slots_do_not_make_another_sweep(runs_home):
    sweep = tiny_sweep(budget={"per_trial": 1, "trials": 1}, confirm={"seeds": 0})
    runs_home.run(sweep)
    before = runs_home.started()
    again = sweep.model_copy(update={"resources": sweep.resources.model_copy(update={"slots": 1})})
    assert runs_home.run(again).state == "finished"
    assert runs_home.started() == before


def test_an_unknown_sweep_is_one_sentence(runs_home):
    for ask in (resume_sweep, sweep_status):
        with pytest.raises(InputError, match="nowhere: no such sweep under"):
            ask("nowhere")


def test_a_finished_run_of_the_same_specification_is_taken_over(runs_home):
    sweep = {"budget": {"per_trial": 1, "trials": 2}, "confirm": {"seeds": 1}}
    runs_home.run(tiny_sweep("first", **sweep))
    before = runs_home.started()
    status = runs_home.run(tiny_sweep("second", **sweep))
    assert runs_home.started() == before
    assert status.counts["tune"] == {"completed": 4}
    record = read_runs(default_tracking_uri(), "second").set_index("run")
    assert record.loc["second.nice.moons.0001", "reuses"] == "first.nice.moons.0001"
    twins = [runs_home.runs(name)[f"{name}.nice.moons.0001"] for name in ("first", "second")]
    assert twins[0].spec().hash == twins[1].spec().hash
    assert twins[0].result() == twins[1].result()


def test_a_full_disk_stops_the_sweep_in_one_sentence_and_it_goes_on(runs_home):
    families = {"nice": {}, "glow": {"fixed": {"family.behave": "full"}}}
    sweep = tiny_sweep(families=families, budget={"per_trial": 1, "trials": 1})
    with pytest.raises(DiskFull) as caught:
        runs_home.run(sweep, slots=1)
    said = str(caught.value)
    assert said.startswith(f"no space left in {runs_home.path}")
    assert said.endswith("make room, then flowbench sweep resume tiny")
    assert sweep_status("tiny").state == "stopped"
    assert "code_error" not in sweep_status("tiny").counts["tune"]


def test_writing_to_a_full_device_is_the_same_sentence(tmp_path):
    def write():
        with Path("/dev/full").open("w") as file:
            file.write("x")

    with pytest.raises(DiskFull, match="no space left"), sentence_when_full(tmp_path, "go on"):
        write()


def test_a_full_database_is_the_same_sentence(tmp_path):
    from sqlalchemy import create_engine, text

    with create_engine(f"sqlite:///{tmp_path / 'small.db'}").connect() as database:
        database.execute(text("PRAGMA max_page_count=3"))
        database.execute(text("CREATE TABLE t (x TEXT)"))
        with pytest.raises(DiskFull, match="no space left"), sentence_when_full(tmp_path, "go on"):
            database.execute(text("INSERT INTO t VALUES (:x)"), {"x": "x" * 50_000})
