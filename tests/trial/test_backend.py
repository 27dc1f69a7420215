"""How ranks talk, where it is said."""

import pytest
from small_runs import new_attempt, small_spec, start_trial, validations

from flowbench.trial.leader import lead


def test_one_rank_through_ddp_has_the_losses_of_a_process_without_it(table, runs_home):
    through = new_attempt("through", small_spec(table, precision="64", backend="gloo"))
    process = start_trial(*through)
    alone = new_attempt("alone", small_spec(table, precision="64"))
    assert lead(*alone) == 0
    assert process.wait(timeout=120) == 0, through[1].log.read_text()
    losses = [
        [(event["train"], event["metrics"]) for event in validations(attempt)]
        for _, attempt in (through, alone)
    ]
    assert len(losses[0]) == 3
    for (train, metrics), (train_alone, metrics_alone) in zip(*losses, strict=True):
        assert train == pytest.approx(train_alone, rel=1e-12)
        assert metrics == pytest.approx(metrics_alone, rel=1e-12)


def test_nccl_without_a_gpu_is_refused_in_a_sentence(table, runs_home):
    run, attempt = new_attempt("run", small_spec(table, backend="nccl", accelerator="cpu"))
    process = start_trial(run, attempt)
    assert process.wait(timeout=120) == 2
    assert attempt.result().reason == (
        "training.backend = 'nccl' needs a GPU; allowed here: auto, gloo"
    )
