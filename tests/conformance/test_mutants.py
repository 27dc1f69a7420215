"""Each deliberate error is caught, by the check that is there for it."""

import pytest
from mutants import MUTANTS, block, composed, flow

from flowbench.bijections.compose import Compose
from flowbench.bijections.residual import ResidualBlock
from flowbench.conformance.case import Subject
from flowbench.conformance.checks import CHECKS
from flowbench.conformance.run import check


def failed(subject: Subject) -> set[str]:
    return {result.check for result in check(subject) if result.failed}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name):
    mutant = MUTANTS[name]
    assert failed(mutant.subject()) >= mutant.caught_by


@pytest.mark.parametrize("name", ["unnormalised", "sign of sampling", "unsaved buffer"])
def test_errors_that_one_check_alone_can_see(name):
    mutant = MUTANTS[name]
    assert failed(mutant.subject()) == mutant.caught_by


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: composed(Compose), (3,)),
        (lambda: block(ResidualBlock), (3,)),
        (flow, (2,)),
    ],
    ids=["layers", "block", "flow"],
)
def test_what_mutants_are_made_of_is_right(build, shape):
    assert failed(Subject("whole", "", build, shape, shape, scale=1.0)) == set()


def test_every_check_catches_something():
    assert set().union(*(mutant.caught_by for mutant in MUTANTS.values())) == set(CHECKS)
