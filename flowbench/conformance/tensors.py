"""Whether models treat tensors as they should: dtype, device, inputs, rows, shapes, repetition."""

from copy import deepcopy

import torch
from torch import Tensor

from flowbench.conformance.case import Case
from flowbench.conformance.placement import AnotherDefaultDevice, is_marked
from flowbench.conformance.result import Finding, offences, worst
from flowbench.conformance.roundtrip import distance

ROW_TOLERANCE = 1e-9
"""On differences that only the order of a matrix product's sums can make."""


def deterministic(case: Case) -> Finding:
    """In eval mode the same call returns the same bits, whatever the global random state is."""
    said = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        said.append(case.numbers(case.x, case.z, case.context))
    return offences([name for name in said[0] if not same(said[0][name], said[1][name])], "vary")


def inputs_kept(case: Case) -> Finding:
    """No call writes into what it is given."""
    x, z = case.x.clone(), case.z.clone()
    context = None if case.context is None else case.context.clone()
    case.numbers(x, z, context)
    given = [("x", x, case.x), ("z", z, case.z)]
    if context is not None and case.context is not None:
        given.append(("context", context, case.context))
    return offences([name for name, after, before in given if not same(after, before)], "changed")


def dtype_kept(case: Case) -> Finding:
    """Results have the dtype of a float32 and of a float64 model, whatever torch's default is."""
    default = torch.get_default_dtype()
    wrong = []
    try:
        for dtype, other in ((torch.float64, torch.float32), (torch.float32, torch.float64)):
            torch.set_default_dtype(other)
            model = case.with_model(deepcopy(case.model).to(dtype))
            context = None if case.context is None else case.context.to(dtype)
            said = model.numbers(case.x.to(dtype), case.z.to(dtype), context)
            if not case.is_layer:
                said["sample"] = model.model.sample(2, context[:2] if context is not None else None)  # type: ignore[operator]
            wrong += [
                f"{name} is {value.dtype} of a {dtype} model"
                for name, value in said.items()
                if value.dtype != dtype
            ]
    finally:
        torch.set_default_dtype(default)
    return offences(wrong, "dtype")


def device_kept(case: Case) -> Finding:
    """Nothing is made on torch's default device where the input's is meant."""
    # A copy remembers nothing that was made before.
    model = case.with_model(deepcopy(case.model))
    with AnotherDefaultDevice():
        said = model.numbers(case.x, case.z, case.context)
    wrong = [n for n, value in said.items() if value.device != case.x.device or is_marked(value)]
    return offences(wrong, "left on the default device")


def rows_independent(case: Case) -> Finding:
    """Neither the order of a batch nor the company in it changes a row's result."""
    count = min(len(case.x), len(case.z))
    everything = torch.arange(count)
    whole = _of_rows(case, everything)
    # A random log-det is keyed by a row's place: of it only the maps can be compared.
    names = [name for name in whole if not case.noisy or name in ("encode", "decode")]
    errors, limits = [], []
    for rows in (everything.flip(0), everything[:1]):
        part = _of_rows(case, rows)
        for name in names:
            true = (
                whole[name][rows].flatten(1) if whole[name].dim() > 1 else whole[name][rows, None]
            )
            errors.append(distance(part[name].reshape(true.shape), true))
            noise = 100 * torch.finfo(true.dtype).eps * case.stretch_of(name)[rows]
            limits.append((ROW_TOLERANCE + noise) * true.abs().amax(1).clamp(min=1))
    return worst(torch.cat(errors), torch.cat(limits))


def shapes(case: Case) -> Finding:
    """Results are (N, ...) with one row a sample, and a flow draws as many samples as asked."""
    subject, count = case.subject, len(case.x)
    expected = {
        "encode": (count, *subject.latent_shape),
        "encode's log-det": (count,),
        "decode": (len(case.z), *subject.event_shape),
        "decode's log-det": (len(case.z),),
        "log_prob": (count,),
    }
    said = case.numbers(case.x, case.z, case.context)
    if not case.is_layer:
        expected |= {"sample": (3, *subject.event_shape), "sampled log_prob": (3,)}
        context = None if case.context is None else case.context[:3]
        with torch.no_grad():
            said["sample"] = case.model.sample(3, context)  # type: ignore[operator]
            said["sample, too"], said["sampled log_prob"] = case.model.sample_and_log_prob(  # type: ignore[operator]
                3, context
            )
        expected["sample, too"] = expected["sample"]
    wrong = [
        f"{name} is {tuple(value.shape)}, not {expected[name]}"
        for name, value in said.items()
        if value.shape != expected[name]
    ]
    return offences(wrong, "shapes")


def generator_followed(case: Case) -> Finding:
    """The same generator gives the same samples, and another one others."""
    context = None if case.context is None else case.context[:2]
    with torch.no_grad():
        first, again, other = (
            case.model.sample(2, context, generator=torch.Generator().manual_seed(seed))  # type: ignore[operator]
            for seed in (1, 1, 2)
        )
    wrong = ["differ for the same"] if not same(first, again) else []
    wrong += ["are equal for another"] if same(first, other) else []
    return offences(wrong, "samples by generator")


def _of_rows(case: Case, rows: Tensor) -> dict[str, Tensor]:
    return case.numbers(case.x[rows], case.z[rows], _rows(case.context, rows))


def _rows(context: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if context is None else context[rows]


def same(a: Tensor, b: Tensor) -> bool:
    """Compare bit for bit; NaN equals NaN, so that another check can name it."""
    return torch.equal(a.nan_to_num(), b.nan_to_num()) and torch.equal(a.isnan(), b.isnan())
