"""Drivers of real trials that are told to stop, as processes of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from small_runs import small_spec, validations, write_table

from flowbench.run_directory import RunDirectory

TESTS = str(Path(__file__).parents[1])
DRIVER = """
import sys
from pathlib import Path
from flowbench.spec.run import RunSpec
from flowbench.sweep.single import run_single
run_single(RunSpec.model_validate_json(Path(sys.argv[1]).read_text()), "run")
"""
"""What `flowbench train` does, on a specification that is complete."""
PATIENCE = 240


def start(tmp_path, fails):
    """Start training a flow that never ends, and return once it trains."""
    family = {"name": "small_flows:Fragile", "fails": fails, "after": 8}
    data = write_table(tmp_path / "table.npy")
    spec = tmp_path / "run.json"
    spec.write_text(small_spec(data, family, max_epochs=10**6).model_dump_json())
    environment = {**os.environ, "FLOWBENCH_HOME": str(tmp_path / "runs"), "PYTHONPATH": TESTS}
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(spec)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
    )  # fmt: skip
    attempt = RunDirectory(tmp_path / "runs" / "run").attempt(0)
    deadline = time.monotonic() + PATIENCE
    while True:
        if len(validations(attempt)) >= 2:
            return process, attempt
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def left(family):
    _, alive = psutil.wait_procs(family, timeout=10)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize(
    ("fails", "numbers"),
    [("sleep", [signal.SIGHUP]), ("stubborn", [signal.SIGINT, signal.SIGINT])],
    ids=["terminal-closed", "ctrl-c-twice"],
)
def test_a_stopped_driver_leaves_nothing_and_says_how_to_go_on(fails, numbers, tmp_path):
    process, attempt = start(tmp_path, fails)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2  # the server, the trial
    said = ""
    for number in numbers:
        process.send_signal(number)
        while process.poll() is None and "to go on: flowbench train" not in said:
            said += process.stdout.readline()
    assert process.wait(timeout=60) == 128 + numbers[0]
    said += process.communicate()[0]
    spec = attempt.path.parent / "spec.json"
    assert f"to go on: flowbench train {spec}" in said.replace("\n", " ")
    assert ("stopped; to go on" in said) == (len(numbers) == 1)  # a second one leaves at once
    assert "Traceback" not in said
    assert left(family) == []
    assert attempt.result() is None
