"""Addresses of shared databases, and who waits for what."""

import os

import psycopg
import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError, PendingRollbackError

from flowbench.database import Patience, described, is_away, schema_url, shared_database
from flowbench.errors import InputError, RunFailed
from flowbench.sweep.directory import SweepDirectory
from flowbench.sweep.leases import SingleDriver
from flowbench.sweep.locks import held, holder
from flowbench.sweep.storage import Storage
from flowbench.tracking.store import default_tracking_uri

URL = "postgresql://me:se%40cret@host:5433/things?sslmode=require&options=-cwork_mem%3D8MB"


def test_a_schema_is_named_by_the_search_path_and_the_rest_of_the_address_stays():
    url = make_url(schema_url(URL, "optuna"))
    assert (url.drivername, url.host, url.port, url.database) == (
        "postgresql+psycopg", "host", 5433, "things"
    )  # fmt: skip
    assert (url.username, url.password) == ("me", "se@cret")
    assert url.query["options"] == "-cwork_mem=8MB -csearch_path=optuna"
    assert url.query["sslmode"] == "require"
    assert psycopg.conninfo.conninfo_to_dict(schema_url(URL, "mlflow").replace("+psycopg", ""))[
        "options"
    ].endswith("-csearch_path=mlflow")


def test_what_is_shown_of_an_address_has_no_password():
    assert described(URL) == "postgresql://host:5433/things"


@pytest.mark.parametrize("url", ["mysql://me:secret@host/things", "postgresql://me:secret@host"])
def test_other_addresses_are_refused_without_their_password(monkeypatch, url):
    monkeypatch.setenv("FLOWBENCH_STORAGE", url)
    with pytest.raises(InputError, match=r"FLOWBENCH_STORAGE: .*host.* is no address") as caught:
        Storage()
    assert "secret" not in str(caught.value)


def test_the_record_goes_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path))
    assert default_tracking_uri() == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert shared_database() is None
    monkeypatch.setenv("FLOWBENCH_STORAGE", URL)
    assert default_tracking_uri() == schema_url(URL, "mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert default_tracking_uri() == "http://127.0.0.1:5000"


def refused(port):
    psycopg.connect(f"postgresql://127.0.0.1:{port}/x", connect_timeout=1)


def test_only_a_server_that_is_away_is_waited_for():
    with pytest.raises(psycopg.OperationalError) as caught:
        refused(1)
    assert is_away(caught.value)
    assert is_away(OperationalError("SELECT 1", {}, caught.value))
    assert is_away(psycopg.errors.AdminShutdown("terminating connection"))
    assert is_away(PendingRollbackError("a transaction that was broken"))
    assert not is_away(psycopg.errors.DiskFull("no space left"))
    assert not is_away(psycopg.errors.UndefinedTable("no such table"))
    assert not is_away(ValueError("something else"))


def test_patience_says_what_it_waits_for_and_ends_in_a_sentence():
    patience = Patience("postgresql://me:secret@host/things", seconds=0.5)
    said, tries = [], []
    patience.say = said.append

    def third_time_lucky():
        tries.append(len(tries))
        if len(tries) < 3:
            refused(1)
        return "an answer"

    assert patience(third_time_lucky) == "an answer"
    assert said == [
        "postgresql://host/things does not answer; waiting for it, 0.00833333 min at most",
        "postgresql://host/things answers again",
    ]
    with pytest.raises(RunFailed, match="postgresql://host/things did not answer for"):
        patience(lambda: refused(1))
    with pytest.raises(ZeroDivisionError):
        patience(lambda: 1 / 0)


def test_a_lock_names_its_process_and_is_free_when_that_lets_go(tmp_path):
    lock = tmp_path / "there" / "lock"
    assert holder(lock) is None
    with held(lock) as mine:
        assert mine
        assert holder(lock).pid == os.getpid()
        with held(lock) as again:
            assert not again
    assert holder(lock) is None


def test_drivers_share_a_sweep_only_where_each_says_so(tmp_path):
    directory = SweepDirectory(tmp_path / "tiny")
    with directory.locked(shared=True):
        assert len(directory.drivers()) == 1
        with held(directory.path / "driver-elsewhere-1.lock"):
            assert len(directory.drivers()) == 2
    assert directory.driver() is None
    with (
        directory.locked(),
        pytest.raises(InputError, match="is being run by process"),
        directory.locked(),
    ):
        pass


def test_a_sweep_stays_where_it_began(tmp_path):
    directory = SweepDirectory(tmp_path / "tiny")
    directory.keep_in("")
    directory.keep_in("")
    with pytest.raises(
        InputError, match=r"tiny is kept in files under .*: unset FLOWBENCH_STORAGE"
    ):
        directory.keep_in("postgresql://host/things")


def test_what_a_single_driver_finished_it_does_not_take_again():
    leases = SingleDriver()
    assert leases.take("tiny.a") == 0
    leases.finish("tiny.a")
    assert leases.take("tiny.a") is None
    assert list(leases.finished()) == ["tiny.a"]
