"""Every layer keeps every promise, at parameters away from where they start."""

import importlib
import pkgutil

import pytest
from every_layer import entries

import flowbench.bijections
from flowbench.bijections.base import Bijection
from flowbench.conformance.perturb import SCALES
from flowbench.conformance.run import check

ENTRIES = entries()

ALWAYS_DECIDED = {
    "conditioning",
    "data round trip",
    "latent round trip",
    "decode log-det",
    "Jacobians invert",
    "log-dets cancel",
}
"""Checks that may not end undecided: each is what makes a layer a bijection."""


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.name for entry in ENTRIES])
def test_layer(entry, scale):
    results = check(entry.subject(scale))
    assert [result for result in results if result.failed] == []
    noisy = {"decode log-det", "log-dets cancel"} if "130" in entry.name else set()
    passed = {result.check for result in results if result.verdict == "passed"}
    assert ALWAYS_DECIDED - noisy <= passed


def test_no_layer_is_missing():
    for module in pkgutil.iter_modules(flowbench.bijections.__path__, "flowbench.bijections."):
        importlib.import_module(module.name)
    covered = {entry.layer for entry in ENTRIES}
    assert leaves(Bijection) == covered


def leaves(layer: type) -> set[type]:
    """The package's classes that none of its others derives from: those that are built."""
    package = flowbench.bijections.__name__ + "."
    below = [each for each in layer.__subclasses__() if each.__module__.startswith(package)]
    return set().union(*map(leaves, below)) if below else {layer}
