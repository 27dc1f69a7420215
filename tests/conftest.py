"""What tests of several packages share."""

import signal

import pytest
from full_record import full_record
from small_runs import write_table
from synthetic_record import demo_record, hostile_record


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory):
    """Mirrors of records that tests read, and what else has no home of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _interrupts():
    """Let programs that tests start heed Ctrl-C, also where a shell runs the tests behind it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def demo_uri(tmp_path_factory):
    """A record with a finished sweep `demo`: six families, two data sets, three seeds, failures."""
    return demo_record(tmp_path_factory.mktemp("demo"), seeds=3, trials=2)


@pytest.fixture(scope="session")
def full_uri(tmp_path_factory):
    """A record with a sweep `full` of all that a report can show, on five data sets."""
    return full_record(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="session")
def hostile_uri(tmp_path_factory):
    """A record whose every name is an attack on the page, the table or the paper."""
    return hostile_record(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """A small table, for runs of a second or two."""
    return write_table(tmp_path_factory.mktemp("table") / "table.npy")


@pytest.fixture
def runs_home(tmp_path, monkeypatch):
    """A home of the test's own, which programs that it starts share."""
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))
    return tmp_path / "runs"
