"""Running the checks on a subject."""

import math
from collections.abc import Iterable

import torch

from flowbench.conformance.case import Case, Subject, Undecided
from flowbench.conformance.checks import CHECKS, Check
from flowbench.conformance.result import CheckResult, Finding, not_checked


def check(subject: Subject, names: Iterable[str] = CHECKS) -> list[CheckResult]:
    """Build the subject and put it to the checks of these names.

    A check that raises has failed: a model may not raise on what it must be able to do. torch's
    random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            case = Case(subject)
        except Exception as error:
            return [_result(subject, "construction", _raised(error))]
        found = [(name, _run(CHECKS[name], case)) for name in names]
    return [_result(subject, name, finding) for name, finding in found if finding is not None]


def _run(check: Check, case: Case) -> Finding | None:
    if check.density and case.is_layer:
        return None
    for needed, there, method in (
        (check.encode, case.can_encode, "encode"),
        (check.decode, case.can_decode, "decode"),
    ):
        if needed and not there:
            return not_checked(f"no {method}")
    try:
        return check.run(case)
    except Undecided as reason:
        return not_checked(str(reason))
    except Exception as error:
        return _raised(error)


def _raised(error: Exception) -> Finding:
    words = " ".join(str(error).split())
    return Finding(math.nan, 0.0, f"raised {type(error).__name__}: {words}"[:300])


def _result(subject: Subject, name: str, finding: Finding) -> CheckResult:
    return CheckResult(
        group=subject.group,
        subject=subject.name,
        scale=subject.scale,
        check=name,
        verdict=finding.verdict,
        value=finding.value,
        tolerance=finding.tolerance,
        note=finding.note,
    )
