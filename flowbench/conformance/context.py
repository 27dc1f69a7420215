"""Whether a context is used where it is taken, and refused where it is not."""

import torch

from flowbench.conformance.case import Case
from flowbench.conformance.result import Finding, offences
from flowbench.errors import InputError


def context_used(case: Case) -> Finding | None:
    """Another context changes every row's density, or a layer's map."""
    if case.context is None:
        return None
    one = case.numbers(case.x, case.z, case.context)
    other = case.numbers(case.x, case.z, case.context + 1)
    felt = torch.zeros(len(case.x), dtype=torch.bool, device=case.x.device)
    for name in ("encode", "encode's log-det") if case.is_layer else ("log_prob",):
        felt |= (one[name] != other[name]).reshape(len(felt), -1).any(1)
    return offences([str(int(row)) for row in (~felt).nonzero()], "rows that do not feel it")


def context_refused(case: Case) -> Finding | None:
    """A context that was not expected, or is missing, is refused in a sentence."""
    if case.is_layer and case.context is not None:
        return None  # Flows check what they hand their layers.
    wrong = None if case.context is not None else case.x.new_zeros(len(case.x), 1)
    accepted = []
    for name in ("encode", "decode") if case.is_layer else ("log_prob", "sample"):
        first = {"decode": case.z, "sample": len(case.x)}.get(name, case.x)
        try:
            getattr(case.model, name)(first, wrong)
        except InputError:
            continue
        accepted.append(name)
    return offences(accepted, "not refused")
