"""Drivers as processes that share one PostgreSQL, on sweeps of tiny real trials."""

import pytest
from services.processes import wait_until
from shared_sweep import drivers, finished, runs_of, sweep_file, wait_for

from flowbench.database import schema_url
from flowbench.run_directory import home
from flowbench.sweep.audit import audit
from flowbench.sweep.leases import is_gone
from flowbench.tracking.reader import read_runs
from flowbench.tracking.store import default_tracking_uri

pytestmark = pytest.mark.integration


@pytest.fixture
def drive(tmp_path):
    with drivers(tmp_path) as start:
        yield start


def drivers_of(postgres, database) -> dict[str, str]:
    """Who was the last to have each run."""
    import psycopg

    with psycopg.connect(schema_url(database, "flowbench").replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT name, driver FROM leases").fetchall()
    return dict(rows)


def process_of(driver: str) -> int:
    return int(driver.rsplit(" ", 3)[1])


def test_two_drivers_do_forty_trials_each_exactly_once(postgres, database, tmp_path, drive):
    file = sweep_file(tmp_path, trials=20, data=("moons", "circles"), families=("nice",))
    drivers = [drive("run", file) for _ in range(2)]
    for driver in drivers:
        driver.wait()
    assert audit("shared") == []
    tuned = [name for name in runs_of(home()) if "confirm" not in name]
    assert len(tuned) == 40
    for run in runs_of(home()).values():
        assert [attempt.number for attempt in run.attempts()] == [0]
    shares = [process_of(driver) for driver in drivers_of(postgres, database).values()]
    for driver in drivers:
        assert shares.count(driver.process.pid) > 5
    speeds = read_runs(default_tracking_uri(), "shared").query("stage == 'speed'")
    assert sorted(speeds["measures"]) == [
        "shared.nice.circles.confirm-0", "shared.nice.moons.confirm-0"
    ]  # fmt: skip


def test_what_a_killed_driver_ran_is_taken_over_while_postgres_comes_and_goes(
    postgres, database, tmp_path, drive
):
    # Seconds, not epochs: on a quick machine too the first driver has a trial to be killed over.
    long = {"budget": {"unit": "device_seconds", "per_trial": 6, "trials": 6}}
    file = sweep_file(tmp_path, trials=6, families=("nice",), **long)
    drivers = [drive("run", file) for _ in range(2)]
    wait_for(home(), 1, *drivers)
    postgres.restart(away=2.0)
    wait_for(home(), 2, *drivers)

    victim, other = drivers
    held = set()

    def holds_one() -> bool:
        held.clear()
        for name, driver in drivers_of(postgres, database).items():
            run = runs_of(home()).get(name)
            if process_of(driver) == victim.process.pid and run and run.result() is None:
                held.add(name)
        return bool(held)

    wait_until(lambda: holds_one() or other.process.poll() is not None, "a trial of the first")
    assert held, other.said()
    victim.process.kill()
    victim.process.wait()
    cut_off = [runs_of(home())[name] for name in held if not runs_of(home())[name].result()]
    postgres.restart(away=2.0)
    other.wait()

    assert "answers again" in other.said()
    assert audit("shared") == []
    for run in cut_off:
        assert [attempt.number for attempt in run.attempts()] == [0, 1]
        assert run.attempt(0).result() is None
    last = drivers_of(postgres, database)
    assert {process_of(last[run.id]) for run in cut_off} <= {other.process.pid}
    assert any(is_gone(driver) for driver in last.values())


def test_a_dead_record_holds_no_trial_up_and_gets_everything_later(
    mlflow_server, monkeypatch, tmp_path, drive
):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    file = sweep_file(tmp_path, trials=6, families=("nice",))
    driver = drive("run", file)
    wait_for(home(), 2, driver)
    mlflow_server.kill()
    driver.wait()
    assert "are not in the record yet; flowbench sweep resume shared sends them" in driver.said()
    assert "Traceback" not in driver.said()
    assert finished(home()) == 7
    mlflow_server.start()
    assert audit("shared") != []
    before = {name: len(run.attempts()) for name, run in runs_of(home()).items()}

    again = drive("resume", "shared")
    again.wait()
    assert audit("shared") == []
    assert {name: len(run.attempts()) for name, run in runs_of(home()).items()} == before
