"""`flowbench mlflow` and `flowbench optuna`, started for real."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import optuna
import psutil
import pytest
from synthetic_record import Record, RecordedRun

from flowbench.cli import pages
from flowbench.errors import InputError
from flowbench.sweep.storage import Storage


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path))
    for name in ("MLFLOW_TRACKING_URI", "FLOWBENCH_STORAGE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@contextmanager
def started(*command):
    """Start a command that serves pages, and yield its process and address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flowbench.cli", *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ},
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        assert "http://" in line, process.stderr.read()
        yield process, line.split()[-1]
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def page(address, **headers):
    with urlopen(Request(address, headers=headers), timeout=30) as answer:
        return answer.read().decode()


def tree(process):
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def listens_at(processes):
    return {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def are_gone(processes):
    deadline = time.monotonic() + 30
    while any(process.is_running() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(process.is_running() for process in processes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_mlflow_shows_the_record_to_this_machine_and_leaves_no_process(home, number):
    Record(home).add(RecordedRun("demo.nice.moons.0000", "nice", "moons"))
    with started("mlflow", "--port", "0") as (process, address):
        assert address.startswith("http://127.0.0.1:")
        assert "<title>MLflow</title>" in page(f"{address}/")
        api = f"{address}/ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name=flowbench"
        assert json.loads(page(api))["experiment"]["name"] == "flowbench"
        telemetry = json.loads(page(f"{address}/ajax-api/3.0/mlflow/ui-telemetry"))
        assert telemetry["disable_ui_telemetry"] is True
        processes = tree(process)
        assert listens_at(processes) == {"127.0.0.1"}
        servers = [p for p in processes if "uvicorn" in " ".join(p.cmdline())]
        assert len(servers) == 1  # one worker, and nothing that runs jobs
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert are_gone(processes)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert said == ""


def test_mlflow_of_a_server_is_where_the_server_is(home):
    asked = [sys.executable, "-m", "flowbench.cli", "mlflow", "--tracking-uri", "http://u:p@h:1"]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert done.returncode == 0
    assert "http://h:1" in done.stdout


def test_optuna_shows_the_studies_to_this_machine_and_leaves_no_process(home):
    storage = Storage().studies()
    study = optuna.create_study(study_name="demo/nice/moons", storage=storage)
    study.add_trial(optuna.trial.create_trial(value=1.5))
    with started("optuna", "--port", "0") as (process, address):
        assert address.startswith("http://127.0.0.1:")
        assert "<title>Optuna Dashboard</title>" in page(f"{address}/dashboard")
        studies = json.loads(page(f"{address}/api/studies"))["study_summaries"]
        assert [study["study_name"] for study in studies] == ["demo/nice/moons"]
        processes = tree(process)
        assert listens_at(processes) == {"127.0.0.1"}
        for strange in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            with pytest.raises(HTTPError, match="403"):
                page(f"{address}/api/studies", **strange)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert are_gone(processes)
    assert process.returncode == 130
    assert said == ""


@pytest.mark.parametrize("command", [pages.mlflow, pages.optuna])
def test_taken_ports_strange_addresses_and_nothing_to_show_are_said(home, command):
    with pytest.raises(InputError, match="makes"):  # a run or a sweep does
        command(port=0)
    for name in ("mlflow.db", "optuna.db"):
        (home / name).touch()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: another program listens there"):
            command(port=port)
    with pytest.raises(InputError, match=r"--host 203\.0\.113\.7 .* assign"):
        command(port=0, host="203.0.113.7")
    with pytest.raises(InputError, match="no address of this machine"):
        command(port=0, host="no such host.invalid")
