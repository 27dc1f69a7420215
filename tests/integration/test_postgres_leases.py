"""Leases, turns and studies on a real PostgreSQL, also while it goes away and comes back."""

import subprocess
import sys
import threading
import time

import pytest
from services.processes import wait_until
from shared_sweep import sweep_file

from flowbench.database import Database, Patience, described, migrating, schema_url
from flowbench.errors import InputError, RunFailed
from flowbench.run_directory import home
from flowbench.spec.files import read_file
from flowbench.spec.sweep import read_sweep
from flowbench.sweep import run_sweep
from flowbench.sweep.leases import TABLE, PostgresLeases, driver_name, is_gone
from flowbench.sweep.storage import Storage
from flowbench.tracking.reader import read_sweeps
from flowbench.tracking.store import default_tracking_uri

pytestmark = pytest.mark.integration


def leases_of(url, sweep="tiny", seconds=60.0, driver=None):
    """The leases of a driver on some other machine, whose process cannot be seen."""
    schema = schema_url(url, "flowbench")
    with migrating(schema) as database:
        database.rows(TABLE)
    leases = PostgresLeases(schema, sweep, Patience(url), seconds)
    if driver is not None:
        leases.driver = f"elsewhere {driver} 0.0 another-boot"
    return leases


def let_run_out(url):
    """Do to every lease what an hour without the server would have done."""
    hour = "UPDATE leases SET expires = expires - interval '1 hour'"
    Database(schema_url(url, "flowbench")).rows(hour)


def test_a_run_is_one_drivers_until_it_lets_go(database):
    one, two = leases_of(database, driver=1), leases_of(database, driver=2)
    assert one.take("tiny.a") == 0
    assert two.take("tiny.a") is None
    assert one.holds("tiny.a")
    assert not two.holds("tiny.a")
    one.release("tiny.a")
    assert two.take("tiny.a") == 1  # the second attempt
    two.finish("tiny.a")
    assert one.take("tiny.a") is None
    assert set(one.finished()) == {"tiny.a"}
    assert not set(leases_of(database, sweep="other").finished())


def test_what_a_driver_held_at_its_end_is_free(database):
    one, two = leases_of(database, driver=1), leases_of(database, driver=2)
    assert one.take("tiny.a") == 0
    assert one.take("tiny.b") == 0
    one.finish("tiny.b")
    one.close()
    assert two.take("tiny.a") == 1
    assert two.take("tiny.b") is None


def test_a_lease_runs_out_and_its_driver_learns_that_it_was_taken(database):
    one = leases_of(database, seconds=1.0, driver=1)
    two = leases_of(database, seconds=1.0, driver=2)
    assert one.take("tiny.a") == 0
    assert one.take("tiny.b") == 0
    wait_until(lambda: two.take("tiny.a") == 1, "the lease runs out", seconds=30)
    time.sleep(0.3)
    assert set(one.renew()) == {"tiny.a"}
    assert one.holds("tiny.b")  # nobody wanted it
    assert not one.holds("tiny.a")
    assert set(one.renew()) == set()


def test_renewed_leases_do_not_run_out(database):
    one = leases_of(database, seconds=1.0, driver=1)
    two = leases_of(database, seconds=1.0, driver=2)
    one.take("tiny.a")
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        assert not one.renew()
        assert two.take("tiny.a") is None
        time.sleep(0.1)


def test_when_the_server_is_back_each_driver_has_the_time_of_a_lease_to_come_back_too(
    postgres, database
):
    one = leases_of(database, seconds=10.0, driver=1)
    two = leases_of(database, seconds=10.0, driver=2)
    one.take("tiny.a")
    two.take("tiny.b")
    postgres.restart(away=1.0)
    let_run_out(database)
    assert two.take("tiny.a") is None
    assert one.holds("tiny.a")
    assert two.holds("tiny.b")


def test_a_process_of_this_machine_that_was_killed_loses_its_runs_at_once(database):
    program = (
        "import sys, time\n"
        "from flowbench.sweep.storage import Storage\n"
        "with Storage().leases('tiny') as leases:\n"
        "    leases.take('tiny.a')\n"
        "    print(leases.driver, flush=True)\n"
        "    time.sleep(600)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    name = other.stdout.readline().strip()
    assert not is_gone(name)
    with Storage().leases("tiny") as leases:
        assert leases.take("tiny.a") is None
    other.kill()
    other.wait()
    assert is_gone(name)
    with Storage().leases("tiny") as leases:
        assert leases.take("tiny.a") == 1


def test_a_driver_is_known_by_more_than_its_number():
    name = driver_name()
    assert not is_gone(name)
    host, pid, started, machine = name.rsplit(" ", 3)
    assert is_gone(f"{host} {pid} {float(started) - 100} {machine}")
    assert not is_gone(f"{host} {pid} {float(started) - 100} another-boot")


def test_a_turn_is_one_connections_and_ends_with_it(database):
    one, two = (Database(schema_url(database, "flowbench")) for _ in range(2))
    with one.turn("x", 0) as mine:
        assert mine
        with two.turn("x", 0.1) as theirs:
            assert not theirs
        with two.turn("y", 0) as theirs:
            assert theirs
    with two.turn("x", 0) as theirs:
        assert theirs
        with one.turn("x", 0) as mine:
            assert not mine
        two.close()
        with one.turn("x", 10) as mine:
            assert mine


def test_many_processes_open_a_new_database_at_once(database):
    program = (
        "from flowbench.sweep.storage import Storage\n"
        "from flowbench.tracking.record import open_recorder\n"
        "storage = Storage()\n"
        "storage.studies()\n"
        "with storage.leases('tiny') as leases:\n"
        "    leases.take('tiny.a')\n"
        "assert open_recorder().record_sweep('tiny', 'hash', '{}')\n"
    )
    opening = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait(120) for process in opening] == [0, 0, 0]
    assert list(read_sweeps(default_tracking_uri())["sweep"]) == ["tiny"]


def test_optunas_storage_waits_for_a_server_that_is_restarted(postgres, database):
    import optuna

    storage = Storage()
    said = []
    storage.patience.say = said.append
    study = optuna.create_study(
        storage=storage.studies(), sampler=optuna.samplers.RandomSampler(seed=0)
    )
    told, stop, failures = [], threading.Event(), []

    def work():
        try:
            while not stop.is_set():
                trial = study.ask()
                trial.suggest_float("x", 0, 1)
                trial.report(1.0, 0)
                study.tell(trial, 1.0)
                told.append(trial.number)
        except Exception as error:
            failures.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(3):
        before = len(told)
        wait_until(lambda before=before: len(told) >= before + 5 or failures, "more trials")
        postgres.restart(away=1.0)
    wait_until(lambda: len(told) >= before + 10 or failures, "more trials")
    stop.set()
    worker.join()
    assert not failures
    where = described(database)
    assert f"{where} does not answer; waiting for it, 10 min at most" in said
    assert f"{where} answers again" in said
    assert len(told) == len(set(told))
    states = {trial.number: trial.state.name for trial in study.get_trials()}
    assert {states[number] for number in told} == {"COMPLETE"}
    # A trial that was made twice, its first answer lost, runs: it is there to be taken over.
    assert {state for number, state in states.items() if number not in told} <= {"RUNNING"}


def test_a_server_that_stays_away_is_given_up_in_a_sentence(postgres, database):
    patience = Patience(database, seconds=0.5)
    leases = leases_of(database)
    leases.take("tiny.a")
    impatient = Database(schema_url(database, "flowbench"), patience)
    impatient.rows("SELECT 1")
    postgres.stop()
    try:
        with pytest.raises(
            RunFailed, match=r"did not answer for .* min; what was finished is kept"
        ):
            impatient.rows("SELECT 1")
        leases.close()  # says nothing, and does not wait
        with pytest.raises(InputError, match=r"127\.0\.0\.1.*refused"):
            Storage().studies()
    finally:
        postgres.start()


def test_an_address_of_another_kind_is_refused(monkeypatch):
    for url in ("mysql://host/database", "postgresql://user:secret@host"):
        monkeypatch.setenv("FLOWBENCH_STORAGE", url)
        with pytest.raises(InputError, match=r"FLOWBENCH_STORAGE: .* is no address") as caught:
            Storage()
        assert "secret" not in str(caught.value)


def test_the_sweep_keeps_to_its_database(database, monkeypatch, tmp_path):
    from flowbench.sweep.directory import SweepDirectory

    directory = SweepDirectory(tmp_path / "runs" / "tiny")
    directory.keep_in(Storage().described)
    directory.keep_in(Storage().described)
    monkeypatch.delenv("FLOWBENCH_STORAGE")
    with pytest.raises(
        InputError, match=r"sweep tiny is kept in postgresql://127\.0\.0\.1.*: set FLOW"
    ):
        directory.keep_in(Storage().described)
    assert "flowbench@" not in (directory.path / "storage").read_text()


def test_hosts_that_do_not_share_the_run_directory_are_refused(database, tmp_path):
    import optuna

    sweep = read_sweep(read_file(sweep_file(tmp_path, trials=1)))
    optuna.create_study(storage=Storage().studies(), study_name="shared/nice/moons")
    with pytest.raises(InputError, match="hosts share that directory; else choose another name"):
        run_sweep(sweep, defaults={}, quiet=True)
    assert not (home() / "shared" / "sweep.json").exists()
    Storage().forget("shared")
    assert optuna.get_all_study_names(Storage().studies()) == []
