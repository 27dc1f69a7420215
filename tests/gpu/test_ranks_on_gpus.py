"""Trials on GPUs through DDP, against the same trial in one process without it."""

import pytest
import torch
from small_runs import new_attempt, small_spec, start_trial, validations

pytestmark = pytest.mark.gpu

SETTINGS = {"precision": "64", "accelerator": "gpu", "max_epochs": 10}
TWO = pytest.mark.skipif("torch.cuda.device_count() < 2", reason="one GPU is here")


def _train(name, table, **settings):
    """Run a trial as a driver does; NCCL says in its log when it is used."""
    run, attempt = new_attempt(name, small_spec(table, **SETTINGS, **settings))
    process = start_trial(run, attempt, NCCL_DEBUG="INFO")
    assert process.wait(timeout=300) == 0, attempt.log.read_text()
    result = attempt.result()
    assert result.outcome == "completed"
    assert torch.cuda.get_device_name(0) in result.labels["device"]
    return attempt


@pytest.mark.parametrize(
    ("settings", "nccl"),
    [
        ({"devices": 1, "backend": "nccl"}, True),
        ({"devices": 2, "backend": "gloo"}, False),
        pytest.param({"devices": 2, "backend": "auto"}, True, marks=TWO),
    ],
    ids=["one-rank-nccl", "two-ranks-gloo-on-one-gpu", "two-ranks-nccl"],
)
def test_ranks_have_the_losses_of_one_process(settings, nccl, table, runs_home, monkeypatch):
    if settings["backend"] == "gloo":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    shared = _train("shared", table, **settings)
    alone = _train("alone", table)
    assert ("NCCL INFO" in shared.log.read_text()) == nccl
    assert len(validations(alone)) == 10
    for one, several in zip(validations(alone), validations(shared), strict=True):
        assert several["step"] == one["step"]
        for terms in ("train", "metrics"):
            assert several[terms] == pytest.approx(one[terms], rel=1e-8)


def test_ranks_share_a_gpu_over_gloo_alone(table, runs_home, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    run, attempt = new_attempt("run", small_spec(table, **SETTINGS, devices=2))
    assert start_trial(run, attempt).wait(timeout=300) == 2
    assert "only with training.backend = 'gloo' can ranks share one" in attempt.result().reason
