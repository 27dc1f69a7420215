"""Every registered family keeps every promise, on vectors and on images, in all its variants.

Nothing here names a family: one that is registered is found, with its choices.
"""

from collections import defaultdict

import pytest

from flowbench.conformance.perturb import SCALES
from flowbench.conformance.run import check
from flowbench.conformance.subjects import EVENT_SHAPES, family_subjects
from flowbench.families.registry import FAMILIES

SUBJECTS = [
    subject for name in FAMILIES for kind in EVENT_SHAPES for subject in family_subjects(name, kind)
]

ALWAYS_DECIDED = {
    "conditioning",
    "data round trip",
    "latent round trip",
    "encode log-det",
    "decode log-det",
    "log-dets cancel",
    "Jacobians invert",
    "sample log_prob",
    "gradients reach",
    "saved and loaded",
}
"""Checks that may not end undecided in these small cases."""


@pytest.mark.parametrize(
    "subject", SUBJECTS, ids=[f"{each.group}-{each.seed}-{each.scale}" for each in SUBJECTS]
)
def test_family(subject):
    results = check(subject)
    assert [result for result in results if result.failed] == []
    passed = {result.check for result in results if result.verdict == "passed"}
    assert passed >= ALWAYS_DECIDED
    assert ("integral" in passed) == (subject.event_shape == (2,))


def test_every_family_has_cases_on_both_kinds_of_event_at_every_scale():
    scales = defaultdict(set)
    for subject in SUBJECTS:
        scales[subject.group].add(subject.scale)
    assert dict(scales) == {
        f"{name} on {kind}": set(SCALES) for name in FAMILIES for kind in EVENT_SHAPES
    }
