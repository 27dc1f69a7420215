"""What can be said of clusters without one; with one, see tests/integration."""

import os
import subprocess
import sys

import pytest

from flowbench.errors import InputError
from flowbench.run_directory import RunDirectory, TrialResult
from flowbench.spec.run import TrainingSpec
from flowbench.spec.sweep import Resources
from flowbench.sweep.launchers import open_launcher
from flowbench.sweep.launchers.cluster import LateResult, Need
from flowbench.sweep.launchers.slurm_queue import JobState


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_package_names_the_extra_that_brings_it(engine, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package}, .*pip install 'flowbench\[{engine}\]'"):
        open_launcher(Resources(engine=engine))


def test_a_machine_without_slurm_is_said_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="this machine has no squeue"):
        open_launcher(Resources(engine="slurm"))
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact' >&2\nexit 1\n")
    squeue.chmod(0o755)
    with pytest.raises(InputError, match=r"Slurm does not answer: .*Unable to contact"):
        open_launcher(Resources(engine="slurm"))


@pytest.mark.parametrize(
    ("accelerator", "gpus_here", "gpus"),
    [("auto", True, 4), ("auto", False, 0), ("cpu", True, 0), ("gpu", False, 4)],
)
def test_ranks_are_spread_evenly_with_a_gpu_each_where_there_are_any(accelerator, gpus_here, gpus):
    training = TrainingSpec(devices=8, threads=3, accelerator=accelerator)
    need = Need.of(training, 2, gpus_here=gpus_here)
    assert (need.nodes, need.ranks, need.cpus, need.gpus) == (2, 4, 12, gpus)
    assert need.environment()["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize("script", ["exit 0", "exit 3", "exit 137", "kill -9 $$"])
def test_a_job_has_the_exit_code_of_its_script(script):
    done = subprocess.Popen(["sh", "-c", script])
    status = os.waitpid(done.pid, 0)[1]
    state = JobState("COMPLETED" if status == 0 else "FAILED", status)
    expected = {"exit 0": 0, "exit 3": 3, "exit 137": 137, "kill -9 $$": -9}[script]
    assert (state.ended, state.exit_code) == (True, expected)


@pytest.mark.parametrize("word", ["NODE_FAIL", "TIMEOUT", "PREEMPTED", "CANCELLED", "FAILED"])
def test_a_job_that_its_cluster_ended_is_lost(word):
    assert JobState(word).exit_code == -9


def test_a_result_that_a_shared_file_system_shows_late_is_waited_for(tmp_path):
    attempt = RunDirectory(tmp_path).attempt(0)
    attempt.create()
    late = LateResult(attempt)
    assert late.code(-9) == -9  # it will not come
    assert late.code(0) is None
    attempt.write_result(TrialResult(outcome="completed"))
    assert late.code(0) == 0
