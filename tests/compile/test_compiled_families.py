"""Families keep their promises where encode is a compiled program, in all their variants.

Traced and differentiated as a compiled training is, in one graph, but run by torch's own kernels:
machine code for every variant would take an hour.
"""

from dataclasses import replace

import pytest
import torch

from flowbench.conformance.run import check
from flowbench.conformance.subjects import EVENT_SHAPES, family_subjects
from flowbench.families.registry import FAMILIES
from flowbench.spec.run import TrainingSpec
from flowbench.training.compiled import why_not

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
