"""Families keep their promises where encode is a compiled program, in all their variants.

Traced and differentiated as a compiled training is, in one graph, but run by torch's own kernels:
machine code for every variant would take an hour.
"""

from dataclasses import replace

import pytest
import torch
from torch import nn

from flowbench.bijections.residual import ResidualBlock
from flowbench.conformance.run import check
from flowbench.conformance.subjects import EVENT_SHAPES, family_subjects
from flowbench.families.registry import FAMILIES
from flowbench.spec.run import TrainingSpec
from flowbench.training.compiled import why_not
from flowbench.training.terms import log_prob_terms

pytestmark = pytest.mark.compile

SHAPES = ((1,), (3,), (1, 4, 4), (1, 5, 5))
"""One of each kind: a program of another size of the same kind is made alike."""

SUBJECTS = [
    subject
    for name in FAMILIES
    for kind in EVENT_SHAPES
    for subject in family_subjects(name, kind)
    if subject.scale == 1.0 and subject.event_shape in SHAPES
]
CHECKED = ("encode log-det", "log-dets cancel", "sample log_prob")


@pytest.mark.parametrize(
    "subject", SUBJECTS, ids=[f"{each.group}-{each.seed}" for each in SUBJECTS]
)
def test_family(subject, programs):
    def build():
        model = subject.build()
        model.encode = torch.compile(
            model.encode, fullgraph=True, dynamic=False, backend="aot_eager"
        )
        return model

    if why_not(subject.build(), TrainingSpec()):  # steps of this variant run uncompiled, and say so
        assert "direction = generative" in subject.name
        return
    results = check(replace(subject, build=build), CHECKED)
    assert [result for result in results if result.failed] == []
    assert {result.check for result in results if result.verdict == "passed"} == set(CHECKED)
    assert programs() > 0


@pytest.mark.parametrize(
    "subject", SUBJECTS, ids=[f"{each.group}-{each.seed}" for each in SUBJECTS]
)
def test_a_step_has_the_gradients_of_an_uncompiled_one(subject, programs):
    torch.manual_seed(subject.seed)
    flow = subject.build().double().train()
    if why_not(flow, TrainingSpec()):
        return
    x = torch.randn(6, *subject.event_shape, dtype=torch.float64)
    size = subject.context_size
    context = torch.randn(6, size, dtype=torch.float64) if size else None
    flow.initialise(x, context)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    flow.after_step()
    for module in flow.modules():  # which draws other masks where it is compiled
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0

    def step(terms):
        flow.zero_grad()
        flow.key_noise(0, 0, torch.arange(6))
        for layer in flow.bijections():
            if isinstance(layer, ResidualBlock):
                layer.draw_ahead()
        base_log_prob, log_det = terms(flow, x, context)
        (torch.linspace(0.5, 1.5, 6) * (base_log_prob + log_det)).sum().backward()
        grads = [p.grad for p in flow.parameters() if p.grad is not None]
        return torch.cat([base_log_prob.detach(), log_det.detach(), *(g.flatten() for g in grads)])

    eager = step(log_prob_terms)
    compiled = torch.compile(log_prob_terms, fullgraph=True, dynamic=False, backend="aot_eager")
    torch.testing.assert_close(
        step(compiled), eager, rtol=1e-9, atol=1e-9 * float(eager.abs().max())
    )
    assert programs() == 1
