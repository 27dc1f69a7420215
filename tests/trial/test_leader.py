"""Trials led in this process: how each can end."""

import numpy as np
import pandas as pd
import pytest
from small_runs import REALNVP, ROULETTE, new_attempt, small_spec, validations

from flowbench.families.checkpoint import load_flow
from flowbench.run_directory import DISK_FULL
from flowbench.trial.leader import lead

FRAGILE = {"name": "small_flows:Fragile"}


def _end(attempt):
    events = attempt.events()[0]
    assert [event["kind"] for event in events].count("end") == 1
    return events[-1]


def test_a_trial_leaves_its_facts_events_model_points_and_result(table, runs_home):
    run, attempt = new_attempt("run", small_spec(table, ROULETTE))
    assert lead(run, attempt) == 0
    events = attempt.events()[0]
    start = next(event for event in events if event["kind"] == "start")
    assert start["baselines"]["gaussian"] == start["baselines"]["gaussian/val/bits_per_dim"]
    flow = load_flow(attempt.model)
    assert start["n_parameters"] == sum(p.numel() for p in flow.parameters())
    assert start["device"].startswith("cpu")
    assert set(start["versions"]) == {"python", "torch", "pytorch-lightning", "numpy", "flowbench"}
    stages = [event["stage"] for event in events if event["kind"] == "stage"]
    assert stages[:2] == ["data", "training"]
    assert any(stage.startswith("measuring") for stage in stages)
    assert [event["epoch"] for event in validations(attempt)] == [1, 2, 3]
    assert _end(attempt)["outcome"] == "completed"
    result = attempt.result()
    assert result.outcome == "completed"
    assert (result.epochs, result.steps) == (3, 12)
    assert result.seconds > result.device_seconds > 0
    # The model measured is the model kept.
    points = pd.read_parquet(attempt.path / "points.parquet")
    assert len(points) == 17
    assert -points["log_prob"].mean() / (3 * np.log(2)) == pytest.approx(
        result.metrics["val/bits_per_dim"]
    )
    best = min(event["metrics"]["val/bits_per_dim"] for event in validations(attempt))
    assert result.metrics["val/bits_per_dim"] == pytest.approx(best, rel=1e-6)
    assert result.labels["certificate"] == "certified"
    assert 0 < result.metrics["lipschitz/measured"] < result.metrics["lipschitz/declared"] < 1
    assert np.load(attempt.path / "samples.npz")["flow"].shape[1:] == (3,)
    assert not list(run.path.rglob("resume.ckpt"))


def test_a_confirming_trial_reads_the_test_split_beside_its_validations(table, runs_home):
    run, attempt = new_attempt("run", small_spec(table, evaluation={"split": "test"}))
    lead(run, attempt)
    metrics = attempt.result().metrics
    assert {"val/bits_per_dim", "test/bits_per_dim", "test/gain_over_gaussian"} <= set(metrics)
    assert len(pd.read_parquet(attempt.path / "points.parquet")) == 18


def test_a_density_can_be_conditional(runs_home, tmp_path):
    noise = np.random.default_rng(0)
    c = noise.normal(size=200)
    x = np.stack([c + 0.1 * noise.normal(size=200), noise.normal(size=200)], 1)
    path = tmp_path / "conditional.csv"
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": c}).to_csv(path, index=False)
    settings = {"max_epochs": 80, "learning_rate": 0.02, "batch_size": 40}
    spec = small_spec({"path": str(path), "context": ["c"]}, **settings)
    run, attempt = new_attempt("run", spec)
    assert lead(run, attempt) == 0
    # Given c the entropy is 0.54 nats, without it 2.84.
    assert -1.2 < attempt.result().metrics["val/nats"] < -0.2


@pytest.mark.parametrize(
    ("fails", "outcome", "words", "exit_code"),
    [
        ("nan", "diverged", "the gradient is not finite at epoch 2, step 6", 0),
        ("singular", "not_invertible", "layer 3: its matrix is singular", 0),
        ("memory", "out_of_memory", "OutOfMemoryError: CUDA out of memory", 0),
        ("allocator", "out_of_memory", "RuntimeError: ", 0),
        ("raise", "code_error", "ValueError: a user's mistake", 1),
    ],
)
def test_every_end_has_its_outcome_and_reason(
    fails, outcome, words, exit_code, table, runs_home, capsys
):
    run, attempt = new_attempt("run", small_spec(table, {**FRAGILE, "fails": fails, "after": 5}))
    assert lead(run, attempt) == exit_code
    result = attempt.result()
    assert result.outcome == outcome
    assert result.reason.startswith(words)
    end = _end(attempt)
    assert (end["outcome"], end["reason"]) == (outcome, result.reason)
    assert ("Traceback" in capsys.readouterr().err) == (outcome == "code_error")
    # What was validated before is kept, and its likelihood where it stays true.
    assert attempt.model.is_file()
    assert ("val/bits_per_dim" in result.metrics) == (outcome in ("diverged", "not_invertible"))


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ({**REALNVP, "depht": 3}, "family.depht: unknown key (did you mean depth?)"),
        ({**REALNVP, "split": "checkerboard"}, "checkerboard"),
        ({"name": "nonsense"}, "family.name = 'nonsense'"),
    ],
)
def test_a_mistake_in_the_familys_keys_is_a_sentence(family, words, table, runs_home, capsys):
    run, attempt = new_attempt("run", small_spec(table, family))
    assert lead(run, attempt) == 2
    assert words in attempt.result().reason
    assert _end(attempt)["exit_code"] == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_mistake_in_the_data_is_a_sentence(runs_home, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b\n" + "1,2\n" * 20 + "3,nan\n" + "4,5\n" * 20)
    run, attempt = new_attempt("run", small_spec(bad))
    assert lead(run, attempt) == 2
    assert "bad.csv" in attempt.result().reason
    assert "b" in attempt.result().reason


@pytest.mark.parametrize("victim", ["events.jsonl", "points.parquet"])
def test_a_full_disk_ends_a_trial_without_a_result(victim, table, runs_home):
    run, attempt = new_attempt("run", small_spec(table))
    (attempt.path / victim).symlink_to("/dev/full")
    assert lead(run, attempt) == DISK_FULL
    assert attempt.result() is None
