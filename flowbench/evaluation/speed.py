"""How fast a flow samples: time a batch, and samples a second, at a stated error."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from flowbench.data.module import FlowData
from flowbench.errors import InputError
from flowbench.evaluation.costs import measure_costs
from flowbench.evaluation.measuring import held_out_context, measuring, place
from flowbench.evaluation.result import Evaluation
from flowbench.evaluation.sampler import Sampler, prepare_samplers
from flowbench.evaluation.timing import device_name, timed
from flowbench.families.flow import Flow
from flowbench.spec.run import EvaluationSpec


def measure_speed(flow: Flow, spec: EvaluationSpec, data: FlowData | None = None) -> Evaluation:
    """Time sampling at every batch size of `spec`; nothing else should run meanwhile.

    For each batch size n: `sampling/b{n}/latency_ms` (median time of a call),
    `.../latency_ms_iqr`, `.../samples_per_second`. Samplers that iterate are first loosened as far
    as a worst error of 1e-4 in flow coordinates allows, against a float64 decode of the same
    latents, or 1e-3 where their tightest setting cannot meet that; the names of their speeds end
    in `_at_1e-4` or `_at_1e-3`, and they have none if they meet neither. `sampling/worst_error` is
    what was reached (not known of a user's own flow).

    The full protocol also times iterative samplers at an error of 1e-5 (1e-6 in float64), and
    measures what else a flow costs: see `evaluation.costs`.

    Args:
        flow: a fitted model.
        spec: the batch sizes, the protocol, and the split that contexts are taken from.
        data: needed for a conditional flow, and for the full protocol.

    Raises:
        InputError: if data are needed and not given.
    """
    full = spec.protocol == "full"
    if data is None and (flow.context_size or full):
        needs = "a conditional flow" if flow.context_size else "the full protocol"
        raise InputError(f"measuring the speed of {needs}: data are needed")
    device, dtype = place(flow)
    found = Evaluation(
        labels={
            "device": device_name(device),
            "threads": str(torch.get_num_threads()),
            "precision": str(dtype).removeprefix("torch."),
            "inverse": flow.inverse_label,
            "protocol": spec.protocol,
        }
    )
    largest = max(spec.speed_batches)
    context = None if data is None else held_out_context(flow, data, spec.split, largest)
    with measuring(flow), torch.inference_mode():
        samplers = prepare_samplers(flow, largest, context, spec.protocol)
        for sampler in samplers:
            found |= _sampling(sampler, spec.speed_batches)
    if full and data is not None:
        found |= measure_costs(samplers[0], data, spec)
    if (pool := samplers[0].pool) is not None:
        # Of the loosest: what the others reach is within what their names say.
        found |= Evaluation({"sampling/worst_error": pool.error})
    return found


def _sampling(sampler: Sampler, batches: Sequence[int]) -> Evaluation:
    """Time one sampler, or say why not."""
    labels: dict[str, str] = {}
    ending, pool = sampler.ending, sampler.pool
    if sampler.iterative and pool is None:
        labels["speed"] = "at an unknown error: a user's own iterations"
    elif sampler.iterative and pool is not None:
        tighter = "" if sampler.compared else ending
        labels[f"sampler{tighter}"] = pool.setting
        if not sampler.meets:
            words = f"not timed: error {pool.error:.1e} at the tightest setting"
            return Evaluation({}, labels | {f"speed{tighter}": words})
    metrics: dict[str, float] = {}
    device = place(sampler.flow)[0]
    for n in batches:
        timing = timed(sampler.batch(n), device)
        prefix = f"sampling/b{n}"
        metrics |= timing.latency(f"{prefix}/latency_ms", ending)
        metrics[f"{prefix}/samples_per_second{ending}"] = n / timing.median
    return Evaluation(metrics, labels)
