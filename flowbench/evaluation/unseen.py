"""Round trips of what a flow was not fitted to: its own samples, and inputs of other kinds."""

from __future__ import annotations

import torch
from torch import Tensor

from flowbench.data.batch import rows_at_once
from flowbench.data.module import FlowData
from flowbench.evaluation.inputs import out_of_distribution
from flowbench.evaluation.inversion import quantiles
from flowbench.evaluation.measuring import (
    held_out_context,
    measuring,
    place,
    seeded,
    within,
)
from flowbench.families.flow import Flow
from flowbench.families.foreign import ForeignFlow
from flowbench.metrics.inversion import InversionError
from flowbench.spec.vocabulary import Split

BATCH = 128
"""Points at a time: slow solvers are looked at often."""


def measure_unseen(
    flow: Flow, data: FlowData, split: Split, *, points: int, seconds: float
) -> dict[str, float]:
    """Return errors of x->z->x by the names of the record, `inversion/{kind}/{flow,data}/...`.

    The kinds are `samples`, the flow's own, and those of `evaluation.inputs`. `flow` starts and
    ends in flow coordinates; `data` begins anew in data units, end to end. Of each kind
    `points` says how many were tried.

    Args:
        flow: a model that can encode and decode.
        data: the data set it was trained on.
        split: the part that contexts, and the scale of the inputs, come from.
        points: of each kind; all held-out ones where there are fewer.
        seconds: time for each kind, after which no further batch is begun.
    """
    device, dtype = place(flow)
    generator = seeded(flow)
    with measuring(flow):
        batches = data.batches(split, limit=points)
        held_out = torch.cat([batch.x for batch in batches]).to(device, dtype)
        context = held_out_context(flow, data, split, len(held_out))
        y = flow.preprocess.encode_map(held_out)
        kinds = out_of_distribution(y, generator)
        # Last: how many it draws is a matter of time.
        kinds["samples"] = _samples(flow, len(y), context, generator, seconds)
        found: dict[str, float] = {}
        for kind, inputs in kinds.items():
            errors = _round_trips(flow, inputs, context, seconds)
            for coordinates, error in errors.items():
                found |= quantiles(error, f"inversion/{kind}/{coordinates}")
            found[f"inversion/{kind}/points"] = float(errors["flow"].compute()["points"])
    return found


def _samples(
    flow: Flow, n: int, context: Tensor | None, generator: torch.Generator, seconds: float
) -> Tensor:
    """Draw in flow coordinates."""
    batch = rows_at_once(flow, BATCH)
    drawn = []
    for start in within(seconds, range(0, n, batch)):
        count = min(batch, n - start)
        rows = None if context is None else context[start : start + count]
        if isinstance(flow, ForeignFlow):
            x = flow.sample(count, rows, generator=generator)
            drawn.append(flow.preprocess.encode_map(x))
        else:
            z = flow.base.sample(count, generator=generator)
            drawn.append(flow.flow.decode_map(z, rows))
    return torch.cat(drawn)


def _round_trips(
    flow: Flow, inputs: Tensor, context: Tensor | None, seconds: float
) -> dict[str, InversionError]:
    errors = {
        name: InversionError(sync_on_compute=False).to(inputs.device) for name in ("flow", "data")
    }
    batch = rows_at_once(flow, BATCH)
    for start in within(seconds, range(0, len(inputs), batch)):
        y = inputs[start : start + batch]
        rows = None if context is None else context[start : start + batch]
        back = flow.flow.decode_map(flow.flow.encode_map(y, rows), rows)
        errors["flow"].update(y, back)
        x = flow.preprocess.decode_map(y)
        z = flow.flow.encode_map(flow.preprocess.encode_map(x), rows)
        errors["data"].update(x, flow.decode_map(z, rows))
    return errors
