"""A run trained again from its `spec.json`: the same losses to the last bit."""

import os
import shutil
import time

import pytest
import torch
from small_runs import REALNVP, ROULETTE, new_attempt, small_spec, validations
from synthetic_record import empty_database

from flowbench.cli.configuring import finished_run, run_spec
from flowbench.run_directory import Replay, RunDirectory, home
from flowbench.sweep.launchers.local import LocalLauncher
from flowbench.sweep.single import run_single
from flowbench.training.optimisers import schedule
from flowbench.trial.leader import lead


def losses(run):
    """Everything that was said of each validation, but when."""
    return [
        (event["epoch"], event["step"], event["metrics"], event["train"])
        for attempt in run.attempts()
        for event in validations(attempt)
    ]


def trained_in_a_sweep(name, spec, slots):
    """Train on one of several slots, as a sweep does."""
    run, attempt = new_attempt(name, spec)
    job = LocalLauncher(slots).start(run, attempt)
    while job.exit_code() is None:
        time.sleep(0.02)
    assert job.exit_code() == 0, attempt.log.read_text()
    return run


def again(run):
    if not (home() / "mlflow.db").exists():
        shutil.copy(empty_database(), home() / "mlflow.db")
    arguments = [str(run.path / "spec.json")]
    spec, repeats = run_spec(arguments), finished_run(arguments)
    result = run_single(spec, f"{run.id}-again", repeats=repeats, quiet=True)
    assert result.outcome == "completed"
    return RunDirectory(run.path.with_name(f"{run.id}-again"))


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        (ROULETTE, {"max_epochs": 4}),
        ({**REALNVP, "hidden": [256, 256]}, {"max_seconds": 1.5, "max_epochs": 10**6}),
        (REALNVP, {"max_seconds": 2.0, "max_epochs": 10**6, "devices": 2}),
    ],
    ids=["epochs", "seconds", "seconds-ranks"],
)
def test_a_run_again_by_itself_has_the_same_losses(family, settings, table, runs_home, monkeypatch):
    # Two slots: the trial has fewer threads than a run alone would take.
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run = trained_in_a_sweep("run", small_spec(table, family, **settings), slots=2)
    second = again(run)
    assert losses(run) == losses(second)
    assert len(losses(run)) > 1
    one, other = run.result(), second.result()
    assert (one.steps, one.epochs) == (other.steps, other.epochs)
    different = {n for n, value in one.metrics.items() if value != other.metrics[n]}
    assert different <= {"memory/peak_bytes"}
    threads = second.replay().threads
    assert threads == max(1, len(os.sched_getaffinity(0)) // (2 * run.spec().training.devices))
    if "max_seconds" in settings:
        pace = run.attempts()[-1].pace()
        assert pace == second.replay().pace == second.attempts()[-1].pace()
        assert pace.steps == one.steps
        assert pace.thousandths[-1][1] == 1000


def test_the_pace_is_what_the_learning_rate_followed(table, runs_home):
    # By its own clock a second run differs: the pace is not without effect.
    spec = small_spec(table, max_seconds=1.0, max_epochs=10**6, warmup_steps=0)
    run, attempt = new_attempt("run", spec)
    lead(run, attempt)
    pace = attempt.pace()
    thousandths = [part for _, part in pace.thousandths]
    assert thousandths == sorted(set(thousandths))
    factor = schedule(spec.training, 10**9)
    rates = [factor(step, part / 1000) for step, part in pace.thousandths]
    assert rates[0] == 1
    assert rates[-1] == pytest.approx(0, abs=1e-6)
    slower = pace.model_copy(
        update={"thousandths": tuple((step, part // 2) for step, part in pace.thousandths)}
    )
    other, other_attempt = new_attempt("other", spec)
    other.write_replay(Replay(threads=torch.get_num_threads(), pace=slower))
    lead(other, other_attempt)
    assert other_attempt.result().steps == attempt.result().steps
    assert losses(other) != losses(run)


def test_the_pace_of_an_interrupted_run_is_that_of_all_its_attempts(table, runs_home):
    spec = small_spec(table, max_seconds=5.0, max_epochs=10**6)
    run, attempt = new_attempt("run", spec)
    job = LocalLauncher().start(run, attempt)
    resume = attempt.checkpoints / "resume.ckpt"
    while not resume.is_file() or len(validations(attempt)) < 2:
        assert job.exit_code() is None
        time.sleep(0.02)
    job.kill()
    run, second = new_attempt("run", spec)
    lead(run, second)
    assert second.result().outcome == "completed"
    steps = [step for step, _ in second.pace().thousandths]
    assert steps == sorted(steps)
    repeated = again(run)
    kept = {step: rest for _, step, *rest in losses(run)}  # the later attempt's word counts
    assert {step: rest for _, step, *rest in losses(repeated)} == kept
