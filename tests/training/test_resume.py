import errno
import os
from contextlib import contextmanager

import pytest
import torch
from pytorch_lightning import Trainer
from small_runs import REALNVP, ROULETTE, small_spec, validations

from flowbench.families.checkpoint import load_flow
from flowbench.run_directory import AttemptDirectory, RunDirectory, home
from flowbench.training import resume

WITH_ACTNORM = {**REALNVP, "normalisation": "actnorm"}


@contextmanager
def disk_full_at(epoch):
    """Let the disk be full when the validation of an epoch is written down."""
    append = AttemptDirectory.append_event

    def fails(self, kind, values):
        if values.get("epoch") == epoch:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, kind, values)

    full = pytest.raises(OSError, match="No space left")
    with pytest.MonkeyPatch.context() as patch, full:
        patch.setattr(AttemptDirectory, "append_event", fails)
        patch.setattr(resume, "SHARE", 1.0)  # a point at the end of nearly every epoch
        yield


@pytest.mark.parametrize("family", [WITH_ACTNORM, ROULETTE], ids=["realnvp", "residual"])
def test_a_resumed_training_has_the_losses_of_one_never_interrupted(family, table, fitted):
    spec = small_spec(
        table, family, max_epochs=7, precision="64", ema_decay=0.9, patience=6, learning_rate=0.02
    )
    whole, whole_attempt, *_ = fitted(spec, "whole")
    with disk_full_at(5):
        fitted(spec, "stopped")
    result, attempt, *_ = fitted(spec, "stopped")
    assert attempt.number == 1
    expected, found = validations(whole_attempt), validations(attempt)
    first = found[0]["epoch"]
    assert 2 <= first <= 5
    for one, other in zip(expected[first - 1 :], found, strict=True):
        for key in ("epoch", "step", "metrics", "train"):
            assert one[key] == other[key]
    assert (result.best, result.epochs, result.steps) == (whole.best, whole.epochs, whole.steps)
    models = (load_flow(whole_attempt.model), load_flow(attempt.model))
    for one, other in zip(*(m.state_dict().values() for m in models), strict=True):
        assert torch.equal(one, other)
    assert not (attempt.path.parent / "attempt-0/checkpoints/resume.ckpt").exists()


def test_a_checkpoint_that_is_cut_short_leaves_the_one_before(table, fitted, monkeypatch):
    monkeypatch.setattr(resume, "SHARE", 1.0)
    save = Trainer.save_checkpoint
    saved = []

    def cut_short(trainer, path, **named):
        save(trainer, path, **named)
        if len(saved) == 2:
            os.truncate(path, path.stat().st_size // 2)
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(trainer.current_epoch)

    spec = small_spec(table, max_epochs=9)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save_checkpoint", cut_short)
        with pytest.raises(OSError, match="No space left"):
            fitted(spec)
    checkpoints = home() / "run/attempt-0/checkpoints"
    assert torch.load(checkpoints / "resume.ckpt", weights_only=True)["epoch"] == saved[1]
    assert {path.name for path in checkpoints.iterdir()} == {"best.pt", "resume.ckpt"}
    _, attempt, *_ = fitted(spec)
    assert validations(attempt)[0]["epoch"] == saved[1] + 2  # they are counted from one


def test_the_best_model_is_carried_over_where_none_better_comes(table, fitted):
    # Likelihoods get worse from the first epoch on.
    spec = small_spec(
        table, REALNVP, max_epochs=6, learning_rate=0.5, schedule="constant", warmup_steps=0
    )
    with disk_full_at(4):
        fitted(spec)
    result, attempt, *_ = fitted(spec)
    bits = {}
    for each in (attempt.path.parent / "attempt-0", attempt.path):
        for event in validations(AttemptDirectory(each)):
            bits[event["epoch"]] = event["metrics"]["val/bits_per_dim"]
    assert sorted(bits) == [1, 2, 3, 4, 5, 6]
    assert result.best["val/bits_per_dim"] == min(bits.values())
    assert attempt.model.is_file()


def test_checkpoints_hold_nothing_but_tensors_and_numbers(table, fitted):
    with disk_full_at(2):
        fitted(small_spec(table, ema_decay=0.9, max_seconds=100))
    path = home() / "run/attempt-0/checkpoints/resume.ckpt"
    saved = torch.load(path, weights_only=True)
    assert saved["epoch"] == 0
    assert saved["average"]["updates"] == 4


def test_one_rank_alone_carries_the_best_model_over(table, fitted):
    """Two that linked it at once were in each other's way, and the trial failed."""
    spec = small_spec(table, max_epochs=7)
    with disk_full_at(5):
        fitted(spec)
    first = RunDirectory(home() / "run").attempt(0)
    second = RunDirectory(home() / "run").attempt(1)
    second.create()
    point = first.checkpoints / "resume.ckpt"
    assert resume.resume_from(second, is_global_zero=False) == point
    assert not second.model.exists()
    assert resume.resume_from(second, is_global_zero=True) == point
    assert second.model.samefile(first.model)
    assert resume.resume_from(second, is_global_zero=False) == point
