"""Trials that share a GPU, and the server that forks them."""

import time
from pathlib import Path

import psutil
import pytest
from small_runs import new_attempt, small_spec, validations

from flowbench.run_directory import RunDirectory
from flowbench.spec.sweep import SweepSpec
from flowbench.sweep import run_sweep
from flowbench.sweep.launchers.local import LocalLauncher

pytestmark = pytest.mark.gpu

CONTEXT = "/dev/nvidia-uvm"
"""What a process has open that has initialised CUDA; counting GPUs opens other files."""


def test_trials_share_a_gpu_by_slots_and_keep_to_their_part_of_its_memory(
    runs_home, table, monkeypatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    sweep = SweepSpec.model_validate(
        {
            "name": "shared",
            "data": [{"path": str(table)}],
            "families": {"gpu_flows:Greedy": {"search": {"family.share": [0.1, 0.7]}}},
            "sampler": "grid",
            "training": {"accelerator": "gpu"},
            "evaluation": {"samples": 4},
            "budget": {"unit": "epochs", "per_trial": 5, "trials": 2},
            "confirm": {"seeds": 1},
            "resources": {"slots": 2},
        }
    )
    run_sweep(sweep, quiet=True)
    runs = [
        RunDirectory(path.parent)
        for path in runs_home.glob("shared.*/spec.json")
        if "confirm" not in path.parent.name
    ]
    outcomes = {run.spec().family.hyperparameters["share"]: run.result().outcome for run in runs}
    assert outcomes == {0.1: "completed", 0.7: "out_of_memory"}
    times = [[event["time"] for event in run.attempts()[0].events()[0]] for run in runs]
    assert max(each[0] for each in times) < min(each[-1] for each in times)  # side by side


def test_the_fork_server_leaves_cuda_to_its_trials(runs_home, table):
    run, attempt = new_attempt("run", small_spec(table, accelerator="gpu", max_epochs=10**6))
    job = LocalLauncher().start(run, attempt)
    try:
        deadline = time.monotonic() + 300
        while not validations(attempt):
            assert job.exit_code() is None, attempt.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        trial = psutil.Process(job.process.pid)
        assert CONTEXT in _open_files(trial)
        assert CONTEXT not in _open_files(trial.parent())
    finally:
        job.kill()


def _open_files(process):
    return {str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir()}
