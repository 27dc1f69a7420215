"""Whether errors grow when a point goes to the latent and back again and again."""

from __future__ import annotations

from flowbench.data.batch import rows_at_once
from flowbench.data.module import FlowData
from flowbench.evaluation.inversion import quantiles
from flowbench.evaluation.measuring import measuring, place, within
from flowbench.families.flow import Flow
from flowbench.metrics.inversion import InversionError
from flowbench.spec.vocabulary import Split

PASSES = 9
BATCH = 128
"""Points at a time: slow solvers are looked at often."""


def measure_passes(
    flow: Flow, data: FlowData, split: Split, *, points: int, seconds: float
) -> dict[str, float]:
    """Return errors after nine round trips in flow coordinates, `inversion/flow/xzx9/...`.

    An error that is no more than round-off stays what it is; a map that is not the inverse
    drifts.

    Args:
        flow: a model that can encode and decode.
        data: the data set it was trained on.
        split: which part.
        points: how many held-out points; all where there are fewer.
        seconds: time after which no further batch is begun.
    """
    device, dtype = place(flow)
    error = InversionError(sync_on_compute=False).to(device)
    batches = data.batches(split, rows_at_once(flow, BATCH), limit=points)
    with measuring(flow):
        for batch in within(seconds, batches):
            here = batch.to(device)
            context = None if here.context is None else here.context.to(dtype)
            y = back = flow.preprocess.encode_map(here.x.to(dtype))
            for _ in range(PASSES):
                back = flow.flow.decode_map(flow.flow.encode_map(back, context), context)
            error.update(y, back)
    name = f"inversion/flow/xzx{PASSES}"
    return quantiles(error, name) | {f"{name}/points": float(error.compute()["points"])}
