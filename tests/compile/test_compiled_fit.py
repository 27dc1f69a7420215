"""Compiled trainings learn what uncompiled ones do: alone, on two ranks, and by the program."""

import json

import pytest
import torch
from small_runs import REALNVP, ROULETTE, new_attempt, small_spec, start_trial, validations
from typer.testing import CliRunner

from flowbench.cli.app import app
from flowbench.data.module import open_data
from flowbench.families.checkpoint import load_flow
from flowbench.families.registry import create
from flowbench.training.fit import fit
from flowbench.training.placement import dtype
from flowbench.trial.leader import lead

pytestmark = pytest.mark.compile

GLOW = {"name": "glow", "depth": 2, "width": 8}
DIGITS = {"name": "digits", "train_size": 120}


def _fit(name, spec):
    _, attempt = new_attempt(name, spec)
    torch.manual_seed(0)
    data = open_data(spec.data, spec.data_seed, dtype=dtype(spec.training))
    family = spec.family
    flow = create(
        family.name,
        data.info.event_shape,
        preprocess=data.preprocess(),
        **family.hyperparameters,
    )
    start = {key: value.clone() for key, value in flow.double().state_dict().items()}
    fitted = fit(flow, data, spec, attempt)
    return fitted, attempt, flow, start


def _assert_same_losses(one, other, tolerance=1e-9):
    for alone, beside in zip(validations(one), validations(other), strict=True):
        for terms in ("train", "metrics"):
            assert beside[terms] == pytest.approx(alone[terms], rel=tolerance)


@pytest.mark.parametrize("family", [GLOW, ROULETTE], ids=["glow", "residual"])
def test_a_compiled_fit_is_the_uncompiled_one(family, table, runs_home, programs):
    # Actnorm sets itself before the first step, spectral norms move after each.
    settings = {"precision": "64", "max_epochs": 4, "ema_decay": 0.9}
    eager, plain, reference, _ = _fit("eager", small_spec(table, family, **settings))
    assert (eager.compiled, programs()) == ("no", 0)
    fitted, attempt, flow, start = _fit(
        "compiled", small_spec(table, family, compile=True, **settings)
    )
    assert (fitted.compiled, programs()) == ("yes", 1)
    _assert_same_losses(plain, attempt)
    after = flow.state_dict()
    assert list(after) == list(reference.state_dict())
    for key, value in reference.state_dict().items():
        torch.testing.assert_close(after[key], value, rtol=1e-8, atol=1e-8)
    moved = {key.rpartition(".")[2] for key in after if not torch.equal(after[key], start[key])}
    assert "initialised" in moved
    assert ("u" in moved) == (family is ROULETTE)
    assert list(load_flow(attempt.model).state_dict()) == list(after)


# Of more than a megabyte of parameters, DDP's buckets are several.
WIDE = {**ROULETTE, "hidden": [320, 320]}


@pytest.mark.parametrize(
    ("data", "family"),
    [(DIGITS, REALNVP), (None, ROULETTE), (None, WIDE)],
    ids=["realnvp", "residual", "wide residual"],
)
def test_two_compiled_ranks_have_the_losses_of_one_process(data, family, table, runs_home):
    # A batch of 75 is shared out as 38 and 37: each rank has a program of its own.
    settings = {"precision": "64", "batch_size": 75, "max_epochs": 8}
    two = new_attempt("two", small_spec(data or table, family, devices=2, compile=True, **settings))
    process = start_trial(*two)
    one = new_attempt("one", small_spec(data or table, family, **settings))
    assert lead(*one) == 0
    assert process.wait(timeout=500) == 0, two[1].log.read_text()
    _assert_same_losses(one[1], two[1], 1e-8)
    assert two[1].result().labels["compiled"] == "yes"
    assert one[1].result().labels["compiled"] == "no"


def test_half_a_program_in_the_cache_is_made_again(table, runs_home, tmp_path):
    # As a compiler leaves it that was killed.
    cache = tmp_path / "cache"
    for name in ("one", "two"):
        run = new_attempt(name, small_spec(table, {"name": "planar", "depth": 2}, compile=True))
        process = start_trial(*run, TORCHINDUCTOR_CACHE_DIR=str(cache))
        assert process.wait(timeout=500) == 0, run[1].log.read_text()
        assert run[1].result().labels["compiled"] == "yes"
        programs = list(cache.rglob("*.main.so"))
        assert programs
        for program in programs:
            program.write_bytes(program.read_bytes()[:100])


def test_the_command_trains_compiled(table, runs_home):
    overrides = ["family.name=planar", "family.depth=2", f"data.path={table}"]
    overrides += ["training.max_epochs=2", "training.batch_size=31", "training.compile=true"]
    result = CliRunner().invoke(app, ["train", *overrides, "evaluation.speed=false", "--json"])
    assert result.exit_code == 0, result.output
    (written,) = runs_home.glob("planar-*/attempt-0/result.json")
    labels = json.loads(written.read_text())["labels"]
    assert labels["compiled"] == "yes"
