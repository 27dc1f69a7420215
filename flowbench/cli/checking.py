"""What `flowbench check` checks, and how results are summed up."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flowbench.cli.show import number
from flowbench.errors import InputError

if TYPE_CHECKING:
    from flowbench.conformance.case import Subject
    from flowbench.conformance.result import CheckResult

SHOWN = 3
"""Failures of a check that are spelled out."""


def subjects_of(words: list[str]) -> list[tuple[str, list[Subject]]]:
    """Return groups of subjects by title, for what the command line names.

    Args:
        words: families, ``package.module:Class``, checkpoints and runs; none for every family.

    Raises:
        InputError: for a word that is nothing of these, or a class that cannot be built.
    """
    from flowbench.families.registry import FAMILIES
    from flowbench.run_directory import find_run

    groups = []
    for word in words or list(FAMILIES):
        if word in FAMILIES:
            groups += _by_kind(word)
        elif Path(word).exists() or find_run(word) is not None:
            groups.append((word, [_trained(word)]))
        elif ":" in word:
            groups += _by_kind(word)
        else:
            raise InputError(
                f"{word}: neither a family ({', '.join(FAMILIES)}) nor a checkpoint, a run or "
                "package.module:Class"
            )
    return groups


def checked(subjects: list[Subject]) -> Iterator[list[CheckResult]]:
    """Yield the results of each subject in turn."""
    from flowbench.conformance.run import check

    return map(check, subjects)


def summary(results: list[CheckResult]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield a row for each check: name, worst value, tolerance, cases, verdict."""
    for name in dict.fromkeys(result.check for result in results):
        each = [result for result in results if result.check == name]
        made = [result for result in each if result.verdict != "not checked"]
        if not made:
            (reason, _), *_ = Counter(result.note for result in each).most_common(1)
            yield name, "", "", str(len(each)), f"not checked: {reason}"
            continue
        worst = max(made, key=lambda result: result.strain)
        failed = sum(result.failed for result in made)
        cases = f"{len(made)} of {len(each)}" if len(made) < len(each) else str(len(each))
        verdict = f"failed in {failed}" if failed else "passed"
        yield name, number(worst.value), number(worst.tolerance), cases, verdict


def failures(results: list[CheckResult]) -> Iterator[str]:
    """Yield a sentence for the first failures of each check."""
    for name in dict.fromkeys(result.check for result in results if result.failed):
        failed = [result for result in results if result.check == name and result.failed]
        for result in sorted(failed, key=lambda result: -result.strain)[:SHOWN]:
            at = "" if result.scale is None else f" at scale {result.scale:g}"
            # A check that raised, or that counts, says more in words.
            found = "" if math.isnan(result.value) else f": {number(result.value)}"
            said = f": {result.note}" if result.note else ""
            yield f"{result.group}: {name} failed{at}, {result.subject}{found}{said}"


def _by_kind(family: str) -> list[tuple[str, list[Subject]]]:
    """Return a family's subjects on vectors and on images, or on the one that it is for."""
    from flowbench.conformance.subjects import EVENT_SHAPES, family_subjects

    groups, refusals = [], []
    for kind in EVENT_SHAPES:
        try:
            groups.append((f"{family} on {kind}", family_subjects(family, kind)))
        except InputError as error:
            refusals.append(str(error))
    if not groups:
        raise InputError(refusals[0])
    for refusal in refusals:
        print(f"flowbench: not checked: {refusal}", file=sys.stderr)
    return groups


def _trained(word: str) -> Subject:
    """Return a saved model as a subject, on held-out data where they can be opened."""
    from flowbench.conformance.subjects import checkpoint_subject
    from flowbench.evaluation.trained import open_trained

    trained = open_trained(word)
    try:
        batch = next(trained.open_data().batches("validation", limit=8))
    except InputError as error:
        print(f"flowbench: checked at its own samples alone: {error}", file=sys.stderr)
        return checkpoint_subject(trained.path, word)
    return checkpoint_subject(trained.path, word, batch.x, batch.context)
