import numpy as np
import pytest
import torch
from small_runs import REALNVP, ROULETTE, new_attempt, small_spec, validations

from flowbench.data.module import open_data
from flowbench.errors import InputError
from flowbench.families.checkpoint import load_flow, read_about
from flowbench.families.registry import create
from flowbench.training.fit import fit


def _validation_bits(attempt, data):
    """Measure the kept model anew, by plain NumPy on its log-densities."""
    flow = load_flow(attempt.model)
    x = next(data.batches("validation", 1000)).x.to(next(flow.parameters()).dtype)
    with torch.no_grad():
        return -flow.log_prob(x).double().numpy().mean() / (flow.dim * np.log(2))


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_model_kept_is_that_of_the_best_validation(ema_decay, table, fitted):
    spec = small_spec(
        table, learning_rate=0.1, schedule="constant", max_epochs=12, ema_decay=ema_decay
    )
    result, attempt, data, _ = fitted(spec)
    bits = [event["metrics"]["val/bits_per_dim"] for event in validations(attempt)]
    assert len(bits) == result.epochs == 12
    assert result.steps == 12 * 4
    assert bits.index(min(bits)) < 11  # the last is not the best: it matters which is kept
    assert result.best["val/bits_per_dim"] == min(bits)
    assert _validation_bits(attempt, data) == pytest.approx(min(bits), rel=1e-6)
    about = read_about(attempt.model)
    assert about["epoch"] == bits.index(min(bits)) + 1
    assert about["spec_hash"] == spec.hash
    assert about["data_hash"] == data.info.content_hash


def test_averaged_weights_are_what_is_validated(table, fitted):
    settings = {"learning_rate": 0.05, "schedule": "constant", "max_epochs": 6}
    plain, plain_attempt, *_ = fitted(small_spec(table, **settings), "plain")
    average, average_attempt, *_ = fitted(small_spec(table, ema_decay=0.9, **settings), "average")
    for one, other in zip(validations(plain_attempt), validations(average_attempt), strict=True):
        assert one["train"] == other["train"]  # averaging does not touch the training itself
    assert plain.best != average.best


def test_training_stops_after_validations_without_improvement(table, fitted):
    spec = small_spec(table, learning_rate=0.1, schedule="constant", max_epochs=300, patience=3)
    result, attempt, *_ = fitted(spec)
    bits = [event["metrics"]["val/bits_per_dim"] for event in validations(attempt)]
    assert result.outcome == "completed"
    assert result.epochs == len(bits) == bits.index(min(bits)) + 1 + 3 < 300


def test_a_budget_of_steps_ends_with_a_validation(table, fitted):
    spec = small_spec(table, max_steps=7, max_epochs=100, validate_every=5)
    result, attempt, *_ = fitted(spec)
    assert result.steps == 7
    assert [event["step"] for event in validations(attempt)] == [7]


def test_the_last_epoch_is_validated_whatever_the_interval(table, fitted):
    _, attempt, *_ = fitted(small_spec(table, max_epochs=5, validate_every=2))
    assert [event["epoch"] for event in validations(attempt)] == [2, 4, 5]


def test_a_budget_of_seconds_ends_with_a_validation_and_its_steps_are_recorded(table, fitted):
    spec = small_spec(table, max_seconds=0.3, max_epochs=10**6, validate_every=10)
    result, attempt, *_ = fitted(spec)
    assert result.outcome == "completed"
    assert result.seconds >= 0.3
    assert validations(attempt)[-1]["step"] == result.steps
    replay, *_ = fitted(small_spec(table, max_steps=result.steps, max_epochs=10**6), "replay")
    assert replay.steps == result.steps


def test_the_driver_can_end_a_training_at_a_validation(table, fitted, runs_home):
    spec = small_spec(table, max_epochs=50)
    run, attempt = new_attempt("run", spec)
    attempt.request_prune()
    data = open_data(spec.data, 0)
    flow = create("realnvp", data.info.event_shape, preprocess=data.preprocess(), depth=2)
    result = fit(flow, data, spec, attempt)
    assert (result.outcome, result.epochs) == ("pruned", 1)
    assert "epoch 1" in result.reason
    assert attempt.model.is_file()
    assert not list(run.path.rglob("resume.ckpt"))


@pytest.mark.parametrize(
    ("fails", "words"), [("nan", "gradient is not finite"), ("explode", "the loss rose")]
)
def test_a_training_that_diverges_keeps_its_last_good_model(fails, words, table, fitted):
    family = {"name": "small_flows:Fragile", "fails": fails, "after": 10}
    result, attempt, data, _ = fitted(small_spec(table, family, max_epochs=9))
    assert result.outcome == "diverged"
    assert words in result.reason
    assert "epoch 3" in result.reason or fails == "explode"
    assert _validation_bits(attempt, data) == pytest.approx(result.best["val/bits_per_dim"])


def test_a_learning_rate_beyond_reason_diverges(table, fitted):
    spec = small_spec(table, learning_rate=1e25, warmup_steps=0, max_epochs=50)
    result, *_ = fitted(spec)
    assert result.outcome == "diverged"


def test_a_model_that_never_validates_finitely_has_diverged(table, fitted):
    family = {"name": "small_flows:Fragile", "fails": "blind"}
    result, attempt, *_ = fitted(small_spec(table, family))
    assert (result.outcome, result.best) == ("diverged", {})
    assert "finite" in result.reason
    assert not attempt.model.exists()


def test_a_layer_that_lost_its_inverse_is_named(table, fitted):
    family = {"name": "small_flows:Fragile", "fails": "singular", "after": 6}
    result, *_ = fitted(small_spec(table, family))
    assert result.outcome == "not_invertible"
    assert result.reason == "layer 3: its matrix is singular"
    assert result.best  # its likelihood was real


def test_double_precision_is_double_throughout(table, fitted):
    result, attempt, data, flow = fitted(small_spec(table, ROULETTE, precision="64"))
    assert data.dtype == next(flow.parameters()).dtype == torch.float64
    assert _validation_bits(attempt, data) == pytest.approx(
        result.best["val/bits_per_dim"], rel=1e-13
    )


def test_half_precision_trains_close_to_single(table, fitted):
    settings = {"learning_rate": 0.01, "max_epochs": 10}
    family = {**REALNVP, "normalisation": "actnorm"}
    single, *_ = fitted(small_spec(table, family, **settings), "single")
    half, attempt, data, _ = fitted(small_spec(table, family, precision="bf16", **settings), "half")
    assert half.best["val/bits_per_dim"] != single.best["val/bits_per_dim"]
    assert half.best["val/bits_per_dim"] == pytest.approx(single.best["val/bits_per_dim"], abs=0.05)
    # Measured in single precision.
    assert _validation_bits(attempt, data) == pytest.approx(half.best["val/bits_per_dim"], rel=1e-6)


def test_what_the_machine_cannot_do_is_refused(table, fitted):
    with pytest.raises(InputError, match=r"training.devices = 40: a batch has 31 rows"):
        fitted(small_spec(table, devices=40))
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=r"training.accelerator = 'gpu'.*allowed: auto, cpu"):
            fitted(small_spec(table, accelerator="gpu"))
        with pytest.raises(InputError, match=r"training.precision = '16' needs a GPU"):
            fitted(small_spec(table, precision="16"))


def test_reversible_backpropagation_trains_alike_and_reports_its_error(table, fitted):
    settings = {"learning_rate": 0.01, "max_epochs": 4, "precision": "64"}
    kept, kept_attempt, *_ = fitted(small_spec(table, **settings), "kept")
    made, made_attempt, *_ = fitted(small_spec(table, reversible=True, **settings), "reversible")
    assert made.best["val/bits_per_dim"] == pytest.approx(kept.best["val/bits_per_dim"], rel=1e-10)
    for one, other in zip(validations(kept_attempt), validations(made_attempt), strict=True):
        assert 0 < other["train"].pop("train/reconstruction_error") < 1e-12
        assert other["train"] == pytest.approx(one["train"], rel=1e-9)


def test_reversible_backpropagation_warns_where_inputs_are_lost(table, fitted, caplog):
    def make_ill_conditioned(flow):
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.add_(1.0 * torch.randn_like(parameter))

    family = {"name": "realnvp", "depth": 24, "hidden": [16]}
    spec = small_spec(table, family, reversible=True, learning_rate=1e-30, max_epochs=2)
    _, attempt, *_ = fitted(spec, "lost", make_ill_conditioned)
    first, second = (v["train"]["train/reconstruction_error"] for v in validations(attempt))
    assert 1e-3 < first <= second
    said = [r for r in caplog.records if r.name == "flowbench.training.module"]
    (message,) = [record.getMessage() for record in said]
    assert message.startswith("training.reversible = true: inputs were found again with a relative")


def test_a_family_that_keeps_its_activations_is_refused(table, fitted):
    with pytest.raises(InputError, match="reversible = true: family residual would solve"):
        fitted(small_spec(table, ROULETTE, reversible=True))
