"""A fork server, a driver, a record, a database and a disk that fail under a running sweep."""

import os
import re

import pytest
from faults import fork_server, kill_driver, kill_fork_server
from real_sweeps import RealSweep
from services.mlflow_server import MlflowServer
from services.tmpfs import SmallDisk

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

TRIALS, CONFIRMING = 12, 2


@pytest.fixture
def runs_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))
    return tmp_path / "runs"


def assert_whole(sweep):
    """Assert that every trial was run to its end once, is known everywhere, and left nothing."""
    assert sweep.orphans() == []
    assert sweep.disagreements() == []
    assert sweep.count() == {"completed": TRIALS + CONFIRMING}


def test_a_killed_fork_server_is_started_anew(runs_home):
    sweep = RealSweep(runs_home, "server")
    sweep.run()
    sweep.until_finished(2)
    first = fork_server(sweep)
    lost = kill_fork_server(sweep)
    sweep.until_finished(6)
    second = fork_server(sweep)
    lost += kill_fork_server(sweep)
    assert sweep.end() == 0, sweep.said()

    assert first.pid != second.pid
    assert_whole(sweep)
    # A trial that trained when its server died had one more attempt for it.
    attempts = sum(len(run.attempts()) for run in sweep.runs().values())
    assert attempts >= TRIALS + CONFIRMING + len(lost) > TRIALS + CONFIRMING


def test_a_sweep_whose_driver_is_killed_goes_on_with_what_is_left(runs_home):
    sweep = RealSweep(runs_home, "driver")
    sweep.run()
    for finished in (3, 7):
        sweep.until_finished(finished)
        kill_driver(sweep)
        assert sweep.orphans() == []
        before = sweep.finished()
        sweep.resume()
        sweep.until_finished(len(before) + 1)
        assert before.items() <= sweep.finished().items()
    assert sweep.end() == 0, sweep.said()
    assert_whole(sweep)


def test_results_reach_a_record_that_was_down_when_they_came(runs_home, tmp_path, monkeypatch):
    with MlflowServer(tmp_path) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        sweep = RealSweep(runs_home, "record")
        sweep.run()
        sweep.until_finished(3)
        server.kill()
        sweep.until_finished(7)
        server.start()
        sweep.until_finished(9)
        server.kill()
        assert sweep.end() == 0, sweep.said()
        assert "are not in the record yet; flowbench sweep resume record sends them" in sweep.said()
        before = sweep.finished()
        server.start()
        sweep.resume()
        assert sweep.end() == 0, sweep.said()
        assert sweep.finished() == before
        assert_whole(sweep)


def test_a_sweep_waits_for_a_database_that_is_restarted(postgres, database, tmp_path):
    sweep = RealSweep(tmp_path / "runs", "database")
    sweep.run()
    for finished, crash in ((2, True), (5, False), (8, True)):
        sweep.until_finished(finished)
        postgres.restart(away=1, immediately=crash)
    assert sweep.end() == 0, sweep.said()
    assert "does not answer; waiting for it" in sweep.said()
    assert_whole(sweep)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")
def test_a_full_disk_stops_a_sweep_that_goes_on_when_there_is_room(runs_home):
    with SmallDisk(runs_home, megabytes=64) as disk:
        sweep = RealSweep(runs_home, "disk")
        sweep.run()
        for leaving in (0, 2**17):
            sweep.until_finished(len(sweep.finished()) + 2)
            disk.fill(leaving=leaving)
            assert sweep.end() == 2, sweep.said()
            last = sweep.said().splitlines()[-1]
            assert last.endswith("make room, then flowbench sweep resume disk")
            assert not re.search("Traceback|Warning", sweep.said())
            assert len(sweep.said().splitlines()) < 50
            assert sweep.orphans() == []
            before = sweep.finished()
            disk.empty()
            sweep.resume()
        assert sweep.end() == 0, sweep.said()
        assert before.items() <= sweep.finished().items()
        assert_whole(sweep)
