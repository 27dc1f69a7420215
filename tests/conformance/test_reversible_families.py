"""Families keep every promise where activations are computed again instead of kept."""

from dataclasses import replace

import pytest

from flowbench.conformance.run import check
from flowbench.conformance.subjects import EVENT_SHAPES, family_subjects
from flowbench.errors import InputError
from flowbench.families.registry import FAMILIES
from flowbench.training.reversible import backpropagate_reversibly

SUBJECTS = [
    subject
    for name in FAMILIES
    for kind in EVENT_SHAPES
    for subject in family_subjects(name, kind)
    if subject.scale == 1.0
]
REFUSED = ("sylvester", "residual")


@pytest.mark.parametrize(
    "subject", SUBJECTS, ids=[f"{each.group}-{each.seed}" for each in SUBJECTS]
)
def test_family(subject):
    def build():
        model = subject.build()
        backpropagate_reversibly(model)
        return model

    if subject.group.startswith(REFUSED):
        with pytest.raises(InputError, match=subject.group.split()[0]):
            build()
        return
    results = check(replace(subject, build=build))
    assert [result for result in results if result.failed] == []
    passed = {result.check for result in results if result.verdict == "passed"}
    assert passed >= {"encode log-det", "encode gradient", "gradients reach"}
