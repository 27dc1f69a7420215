from math import log

import numpy as np
import pytest
import torch
from small_runs import ROULETTE, small_spec, validations

from flowbench.data.module import open_data
from flowbench.data.samplers import EpochSampler
from flowbench.families.registry import create
from flowbench.training.terms import log_prob_terms


def _perturb(flow):
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    flow.double().eval().train()  # brings spectral norms to where further steps leave them


def _terms_by_autograd(flow, x):
    """Return the base's and the log-det's term, the latter from the whole Jacobian."""
    flow.eval()
    jacobian = torch.func.vmap(torch.func.jacrev(lambda x: flow.encode(x[None])[0][0]))(x)
    base = torch.distributions.Normal(0.0, 1.0).log_prob(flow.encode(x)[0]).sum(1)
    return base.detach(), torch.linalg.slogdet(jacobian)[1].detach()


def _epoch(data, spec, epoch):
    """Return the rows of an epoch's batches."""
    sampler = EpochSampler(data.info.sizes["train"], data.batch_size, spec.model_seed)
    sampler.set_epoch(epoch)
    return data.split("train")[[i for batch in sampler for i in batch]].x


@pytest.mark.parametrize("log_det", ["exact", "roulette"])
def test_what_is_logged_is_the_likelihood_in_two_terms(log_det, table, fitted):
    # Steps too small to move a float64 weight: every epoch measures the same flow.
    epochs = 40 if log_det == "roulette" else 2
    spec = small_spec(
        table,
        {**ROULETTE, "log_det": log_det},
        learning_rate=1e-30,
        precision="64",
        max_epochs=epochs,
    )
    _, attempt, data, flow = fitted(spec, change=_perturb)
    differences = []
    for epoch, event in enumerate(validations(attempt)):
        base, log_det_terms = (
            t.mean() for t in _terms_by_autograd(flow, _epoch(data, spec, epoch))
        )
        train = event["train"]
        assert train["train/base_log_prob"] == pytest.approx(float(base), rel=1e-9)
        logged = train["train/base_log_prob"] + train["train/log_det"]
        assert train["train/bits_per_dim"] == pytest.approx(-logged / (3 * log(2)))
        differences.append(train["train/log_det"] - float(log_det_terms))
    if log_det == "exact":
        assert max(map(abs, differences)) < 1e-9
    else:
        # Unbiased: the estimates scatter about the true log-det, each epoch anew.
        error = np.std(differences, ddof=1) / epochs**0.5
        assert error > 1e-4
        assert abs(np.mean(differences)) < 4 * error


def test_log_dets_are_in_single_precision_under_autocast(table):
    data = open_data(small_spec(table).data, 0)
    x = next(data.batches("train")).x
    for family in ("realnvp", "glow", "sylvester", "residual"):
        torch.manual_seed(0)
        flow = create(family, data.info.event_shape, preprocess=data.preprocess(), depth=2)
        flow.initialise(x)
        _perturb(flow)
        expected = log_prob_terms(flow.float().eval(), x, None)
        with torch.autocast("cpu", torch.bfloat16):
            found = log_prob_terms(flow, x, None)
        for half, single in zip(found, expected, strict=True):
            assert half.dtype == torch.float32
            # Sums kept in half precision would all be representable in it.
            assert (half.bfloat16().float() != half).double().mean() > 0.5
            assert (half - single).abs().median() < 0.05 * single.abs().median() + 0.05


def test_a_flow_without_encode_counts_as_one_term(table, fitted):
    _, attempt, *_ = fitted(small_spec(table, {"name": "small_flows:Fragile"}))
    for event in validations(attempt):
        assert event["train"]["train/log_det"] == 0
        assert event["train"]["train/bits_per_dim"] > 0


def test_validation_takes_few_points_at_a_time_and_measures_the_same(table, fitted, monkeypatch):
    spec = small_spec(table, ROULETTE, max_epochs=1)
    sizes = []

    def note(flow, inputs):
        if not flow.training:
            sizes.append(len(inputs[0]))

    def watch(flow):
        flow.register_forward_pre_hook(note)

    (whole,) = validations(fitted(spec, "whole")[1])
    monkeypatch.setattr("flowbench.data.batch.ELEMENTS", 12)
    (in_parts,) = validations(fitted(spec, "in-parts", watch)[1])
    assert sizes == [4, 4, 4, 4, 1]
    assert in_parts["metrics"] == pytest.approx(whole["metrics"], rel=1e-5)
