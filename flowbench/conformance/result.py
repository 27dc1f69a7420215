"""What a check found, and the verdict."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import Tensor

Verdict = Literal["passed", "failed", "not checked"]


@dataclass(frozen=True)
class Finding:
    """The worst that a check saw.

    Attributes:
        value: an error, or a number of offences; NaN offends always.
        tolerance: the largest value that passes; None where the check could not be made.
        note: names the offender, or says why nothing was checked.
    """

    value: float
    tolerance: float | None
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.tolerance is None:
            return "not checked"
        return "passed" if self.value <= self.tolerance else "failed"


def not_checked(reason: str) -> Finding:
    """Say that a check could not be made, and why."""
    return Finding(math.nan, None, reason)


def worst(errors: Tensor, tolerances: Tensor | float, note: str = "") -> Finding:
    """Return the error that is largest beside its tolerance; both ``(N,)``, or one tolerance."""
    if not errors.numel():
        return not_checked("no points")
    limits = errors.new_zeros(errors.shape) + tolerances
    # A NaN is the largest of all: argmax would find it in the ratio, but not an infinite one.
    ratios = (errors / limits).nan_to_num(nan=math.inf, posinf=math.inf)
    index = int(ratios.argmax())
    return Finding(float(errors[index]), float(limits[index]), note)


def offences(names: list[str], what: str) -> Finding:
    """Count what is wrong and name it; none may be."""
    return Finding(float(len(names)), 0.0, f"{what}: {', '.join(names)}" if names else "")


@dataclass(frozen=True)
class CheckResult:
    """One check of one subject, as `flowbench check --json` prints it.

    Attributes:
        group: what the subject is an instance of: a family on vectors, a checkpoint, a layer.
        subject: the instance: event shape and hyperparameters.
        scale: of the perturbation of its parameters; None where they were left as trained.
        check: the check's name.
        verdict: how it went.
        value: see `Finding`.
        tolerance: see `Finding`.
        note: see `Finding`.
    """

    group: str
    subject: str
    scale: float | None
    check: str
    verdict: Verdict
    value: float
    tolerance: float | None
    note: str

    @property
    def failed(self) -> bool:
        return self.verdict == "failed"

    @property
    def strain(self) -> float:
        """How much of the tolerance the value takes: what orders results from bad to good."""
        if self.tolerance is None:
            return -1.0
        if math.isnan(self.value):
            return math.inf
        if self.tolerance == 0:
            return math.inf if self.value > 0 else 0.0
        return self.value / self.tolerance

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
