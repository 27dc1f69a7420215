"""What a search measures beside other trials: sampling time and memory, roughly, never ranked."""

from __future__ import annotations

import resource
import time

import torch
from torch import Tensor

from flowbench.evaluation.measuring import measuring, place, seeded
from flowbench.families.flow import Flow

BATCH = 64
"""Samples at a time: between the one that latency is about and the many of throughput."""
REPEATS = 5
SECONDS = 0.5
"""Time after which no further call is timed."""


def rough_sampling_time(flow: Flow, context: Tensor | None = None) -> float:
    """Return the milliseconds a sample takes in batches of 64: the median of a few calls.

    Iterative samplers run at the error that they are set to, and other trials may run beside it;
    `measure_speed` is the measure that models are compared by.

    Args:
        flow: a fitted model.
        context: for a conditional flow 64 contexts to sample at, ``(64, C)``.
    """
    device = place(flow)[0]
    generator = seeded(flow)
    seconds: list[float] = []
    with measuring(flow), torch.inference_mode():
        while len(seconds) <= REPEATS and sum(seconds) < SECONDS:
            began = time.perf_counter()
            flow.sample(BATCH, context, generator=generator)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - began)
    timed = sorted(seconds[1:] or seconds)  # the first call warms up
    return 1e3 * timed[len(timed) // 2] / BATCH


def peak_memory(device: torch.device) -> float:
    """Return the most bytes that this process has held: on its GPU, or of memory on a CPU."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
