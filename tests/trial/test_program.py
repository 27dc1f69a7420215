"""The program `python -m flowbench.trial`, as drivers start it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from small_runs import REALNVP, new_attempt, small_spec, start_trial, validations

from flowbench.errors import InputError
from flowbench.run_directory import TrialResult
from flowbench.trial.leader import lead
from flowbench.trial.resolve import answer
from flowbench.trial.speed import measure


def test_a_stopped_trial_goes_on_in_a_new_attempt(table, runs_home):
    # Long enough that the signal comes in the middle, whatever else the machine does.
    spec = small_spec(table, max_epochs=200_000, precision="64", ema_decay=0.9)
    run, attempt = new_attempt("run", spec)
    process = start_trial(run, attempt)
    resume = attempt.checkpoints / "resume.ckpt"
    while len(validations(attempt)) < 8 or not resume.is_file():
        assert process.poll() is None, attempt.log.read_text()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=20) == 143
    assert attempt.result() is None
    first = {event["epoch"]: event for event in validations(attempt)}
    run, again = new_attempt("run", spec)
    process = start_trial(run, again)
    while not (events := validations(again)) or events[-1]["epoch"] <= max(first):
        assert process.poll() is None, again.log.read_text()
        time.sleep(0.02)
    again.request_prune()
    assert process.wait(timeout=20) == 0
    assert again.result().outcome == "pruned"
    second = {event["epoch"]: event for event in validations(again)}
    assert min(second) > 1
    both = set(first) & set(second)
    for epoch in both:
        assert first[epoch]["metrics"] == second[epoch]["metrics"]
        assert first[epoch]["train"] == second[epoch]["train"]
    # A signal between a point and the next validation leaves nothing to compare.
    assert both or min(second) == max(first) + 1


def test_a_trial_dies_with_its_driver(table, runs_home):
    run, _ = new_attempt("run", small_spec(table, max_epochs=10**6))
    driver = (
        "import sys, small_runs, time; from pathlib import Path;"
        "from flowbench.run_directory import RunDirectory; run = RunDirectory(Path(sys.argv[1]));"
        "print(small_runs.start_trial(run, run.attempt(0)).pid, flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", driver, run.path],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    trial = psutil.Process(int(process.stdout.readline()))
    process.kill()
    process.wait()
    psutil.wait_procs([trial], timeout=10)
    assert not trial.is_running() or trial.status() == psutil.STATUS_ZOMBIE


def test_a_trial_whose_driver_is_gone_does_not_start(table, runs_home):
    run, attempt = new_attempt("run", small_spec(table))
    process = start_trial(run, attempt, FLOWBENCH_PARENT="1")
    assert process.wait(timeout=20) == 137
    assert attempt.events() == ([], 0)


def test_speed_is_written_beside_the_attempts(table, runs_home):
    family = {**REALNVP, "hidden": [4]}
    spec = small_spec(table, family, evaluation={"speed_batches": [1, 8]}, max_epochs=1)
    run, attempt = new_attempt("run", spec)
    lead(run, attempt)
    assert measure([run]) == 0
    result = TrialResult.model_validate_json((run.path / "speed.json").read_text())
    for batch in (1, 8):
        rate = result.metrics[f"sampling/b{batch}/samples_per_second"]
        assert rate == pytest.approx(1e3 * batch / result.metrics[f"sampling/b{batch}/latency_ms"])
    assert result.labels["device"].startswith("cpu")


def test_speed_in_full_is_measured_at_the_batch_that_the_run_was_trained_with(table, runs_home):
    family = {**REALNVP, "hidden": [4]}
    evaluation = {"speed_batches": [1], "protocol": "full"}
    run, attempt = new_attempt("run", small_spec(table, family, evaluation, max_epochs=1))
    lead(run, attempt)
    assert attempt.result().labels["protocol"] == "full"
    assert attempt.result().metrics["inversion/samples/flow/max_float64"] < 1e-10
    assert measure([run]) == 0
    result = TrialResult.model_validate_json((run.path / "speed.json").read_text())
    assert (result.labels["protocol"], result.labels["training_batch"]) == ("full", "31")
    assert result.metrics["density/b1/points_per_second"] > 0


def _ask(families, data):
    question = {"name": "s", "families": families, "data": data, "data_seed": 0}
    return json.dumps(question)


def test_a_sweeps_question_is_answered_with_every_key(table):
    families = {"realnvp": [{"depth": 3}, {"depth": 3, "split": "parity"}], "planar": [{}]}
    known = json.loads(answer(_ask(families, [{"path": str(table)}])))
    assert known["realnvp"]["depth"] == 3
    assert known["realnvp"]["split"] != "parity"
    assert known["planar"]["activation"] == "tanh"


@pytest.mark.parametrize(
    ("families", "data", "words"),
    [
        ({"planar": [{}, {"lipschitz": 0.9}]}, None, "family.lipschitz: unknown key"),
        ({"planar": [{"depth": 0}]}, None, "family.depth = 0"),
        ({"nonsense": [{}]}, None, "family.name = 'nonsense'"),
        ({"planar": [{}]}, {"name": "nonsense"}, "nonsense"),
        ({"realnvp": [{"split": "checkerboard"}]}, None, "family realnvp on table"),
    ],
)
def test_a_sweeps_mistake_is_one_sentence(families, data, words, table):
    with pytest.raises(InputError) as caught:
        answer(_ask(families, [data or {"path": str(table)}]))
    assert words in str(caught.value)


def test_the_program_says_a_sweeps_mistake_without_a_traceback(table):
    done = subprocess.run(
        [sys.executable, "-m", "flowbench.trial", "--resolve"],
        input=_ask({"planar": [{"depht": 1}]}, [{"path": str(table)}]),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "depht" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
