"""Real trials on this machine: forked from a server, and what dies with what."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from small_runs import REALNVP, new_attempt, small_spec, validations, write_table

from flowbench.errors import RunFailed
from flowbench.run_directory import PARENT
from flowbench.sweep.launchers.base import Lease
from flowbench.sweep.launchers.forkserver import TrialProgram, TrialServer, trial_server
from flowbench.sweep.launchers.local import LocalLauncher
from flowbench.sweep.launchers.slots import machine_slots

TESTS = str(Path(__file__).parents[1])
FRAGILE = {"name": "small_flows:Fragile"}
ENDLESS = {"max_epochs": 10**6}
PATIENCE = 240


@pytest.fixture
def runs_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "table.npy")


def wait_until(what):
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ended(job):
    wait_until(lambda: job.exit_code() is not None)
    return job.exit_code()


def gone(processes):
    """Wait until processes have ended; one that nobody reaped yet has, too."""
    wait_until(
        lambda: all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes)
    )


def train(launcher, name, spec):
    run, attempt = new_attempt(name, spec)
    return launcher.start(run, attempt), attempt


def family_of(job):
    """The processes of a trial: its leader and its ranks."""
    leader = psutil.Process(job.process.pid)
    return [leader, *leader.children(recursive=True)]


def test_a_forked_trial_has_the_results_of_one_in_a_fresh_interpreter(table, runs_home):
    spec = small_spec(table, {**REALNVP, "normalisation": "actnorm"}, precision="64")
    fresh, fresh_attempt = train(LocalLauncher(fresh_interpreters=True), "fresh", spec)
    forked = [train(LocalLauncher(), f"forked-{number}", spec) for number in range(2)]
    assert [ended(job) for job, _ in forked] == [0, 0]
    assert ended(fresh) == 0, fresh_attempt.log.read_text()
    for _, attempt in forked:
        for one, other in zip(validations(fresh_attempt), validations(attempt), strict=True):
            assert one["metrics"] == other["metrics"]
            assert one["train"] == other["train"]
        assert attempt.log.read_text() == ""
        # Of the trial alone, not of the server that it was forked from.
        assert attempt.result().seconds < fresh_attempt.result().seconds


def test_a_forked_trial_has_its_drivers_environment_of_now_and_its_slot(
    table, runs_home, monkeypatch, tmp_path
):
    trial_server(TrialProgram()).start(("--speed",), dict(os.environ), tmp_path / "log").wait()
    module = tmp_path / "new_flows.py"
    module.write_text(
        "import os, small_flows\n"
        "class Telling(small_flows.Fragile):\n"
        "    print(os.environ['TOLD'], os.getcwd(), os.getsid(0) == os.getpid())\n"
    )
    monkeypatch.setenv("TOLD", "just now")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    job, attempt = train(LocalLauncher(), "run", small_spec(table, {"name": "new_flows:Telling"}))
    assert ended(job) == 0
    assert attempt.log.read_text() == f"just now {tmp_path} True\n"
    start = next(event for event in attempt.events()[0] if event["kind"] == "start")
    assert start["threads"] == job.slot.threads == len(os.sched_getaffinity(0))
    assert Lease.read(attempt).pid == job.process.pid


def test_trials_end_with_their_server_which_is_started_anew(table, runs_home):
    launcher = LocalLauncher(2)
    family = {**FRAGILE, "fails": "sleep"}
    trials = [
        train(launcher, f"ranks-{n}", small_spec(table, family, devices=n, **ENDLESS))
        for n in (1, 2)
    ]
    assert not launcher.has_room()
    wait_until(lambda: all(validations(attempt) for _, attempt in trials))
    processes = [process for job, _ in trials for process in family_of(job)]
    assert len(processes) >= 4
    psutil.Process(trials[0][0].process.pid).parent().kill()
    assert [ended(job) for job, _ in trials] == [-signal.SIGKILL] * 2
    gone(processes)
    assert not any(job.out_of_memory() for job, _ in trials)
    job, attempt = train(launcher, "again", small_spec(table))
    assert ended(job) == 0
    assert attempt.result().outcome == "completed"


def test_nothing_is_left_of_a_driver_that_is_killed(table, runs_home):
    spec = small_spec(table, {**FRAGILE, "fails": "sleep"}, devices=2, **ENDLESS)
    run, attempt = new_attempt("run", spec)
    driver = (
        "import sys, time; from pathlib import Path;"
        "from flowbench.run_directory import RunDirectory;"
        "from flowbench.sweep.launchers.local import LocalLauncher;"
        "run = RunDirectory(Path(sys.argv[1]));"
        "LocalLauncher(1, 2).start(run, run.attempt(0)); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", driver, run.path], env={**os.environ, "PYTHONPATH": TESTS}
    )
    try:
        wait_until(lambda: validations(attempt) or process.poll() is not None)
        family = psutil.Process(process.pid).children(recursive=True)
        assert {os.getsid(p.pid) for p in family} > {Lease.read(attempt).pid}
    finally:
        process.kill()
        process.wait()
    gone(family)


@pytest.mark.parametrize(("fails", "code"), [("killed_once", 137), ("leave", 1)])
def test_a_rank_that_goes_ends_its_trial_and_nothing_else(fails, code, table, runs_home):
    launcher = LocalLauncher(2)
    settings = {"devices": 2, **ENDLESS}
    other, other_attempt = train(
        launcher, "other", small_spec(table, {**FRAGILE, "fails": "sleep"}, **ENDLESS)
    )
    job, attempt = train(
        launcher, "run", small_spec(table, {**FRAGILE, "fails": fails, "after": 6}, **settings)
    )
    assert ended(job) == code
    if fails == "leave":
        assert attempt.result().reason == "RuntimeError: a rank left by sys.exit before its end"
    else:
        assert attempt.result() is None  # lost: a new attempt may do better
    before = len(validations(other_attempt))
    wait_until(lambda: len(validations(other_attempt)) > before)
    other.terminate()
    assert ended(other) == 143


def test_a_trial_that_is_killed_a_moment_after_its_start_is_gone(table, runs_home):
    launcher = LocalLauncher(1)
    for number in range(5):
        job, attempt = train(launcher, f"run-{number}", small_spec(table, **ENDLESS))
        job.kill()
        assert job.exit_code() == -signal.SIGKILL
        assert launcher.has_room()
        lease = Lease.read(attempt)
        assert lease is None or not lease.alive


@pytest.mark.parametrize(
    ("preload", "raises"),
    [("raise ImportError('no such part')", "fork server ends"), (None, None)],
    ids=["fails", "missing"],
)
def test_a_server_without_its_imports_is_refused(
    preload, raises, tmp_path, monkeypatch, capfd, runs_home
):
    if preload is not None:
        text = f"import os, traceback\ntry:\n {preload}\nexcept ImportError:\n"
        text += " traceback.print_exc()\n os._exit(1)\n"
        (tmp_path / "half_preload.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server = TrialServer(TrialProgram(preload="half_preload"))
    log = tmp_path / "log"
    if raises:
        with pytest.raises(RunFailed, match=raises):
            server.start((), dict(os.environ), log)
        assert "no such part" in capfd.readouterr().err
    else:
        process = server.start((), dict(os.environ), log)
        assert process.wait() == 1
        assert "the fork server has not imported half_preload" in log.read_text()
        server._server._stop()
    assert PARENT not in os.environ


def test_a_program_ends_as_in_an_interpreter(tmp_path, capsys):
    script = tmp_path / "script.py"
    for text, code, said in (
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('words')", 1, "words"),
        ("raise ValueError('wrong')", 1, "ValueError: wrong"),
        ("import sys; assert sys.argv[1:] == ['a', 'b'] and __name__ == '__main__'", 0, ""),
    ):
        script.write_text(text)
        before = sys.argv
        assert TrialProgram((str(script),)).run(["a", "b"]) == code
        sys.argv = before
        assert said in capsys.readouterr().err


def test_a_trial_shows_where_it_is(table, runs_home):
    job, attempt = train(
        LocalLauncher(), "run", small_spec(table, {**FRAGILE, "fails": "hang", "after": 4})
    )
    wait_until(lambda: validations(attempt))
    wait_until(lambda: (job.show_stacks(), "small_flows.py" in attempt.log.read_text())[1])
    assert job.exit_code() is None
    job.kill()


def test_threads_are_divided_and_no_more_than_allowed(monkeypatch):
    cores = len(os.sched_getaffinity(0))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [slot.threads for slot in machine_slots(1, 1)] == [cores]
    assert [slot.threads for slot in machine_slots(2, cores)] == [1, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (slot,) = machine_slots(1, 1)
    assert (slot.threads, slot.devices) == (1, ())
    assert slot.environment()["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("slots", "ranks", "devices", "shares"),
    [
        (2, 1, [("0",), ("3",)], [1, 1]),
        (1, 2, [("0", "3")], [1]),
        (4, 1, [("0",), ("3",), ("0",), ("3",)], [0.5] * 4),
        (3, 1, [("0",), ("3",), ("0",)], [0.5, 1, 0.5]),
        (2, 3, [("0", "3"), ("3", "0")], [1 / 3, 1 / 3]),
    ],
)
def test_gpus_are_dealt_out_in_turn_and_shared_fairly(slots, ranks, devices, shares, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    dealt = machine_slots(slots, ranks)
    assert [slot.devices for slot in dealt] == devices
    assert [slot.gpu_share for slot in dealt] == pytest.approx(shares)
    assert dealt[0].environment()["CUDA_VISIBLE_DEVICES"] == ",".join(devices[0])
