"""How fast a flow samples: time a batch, and samples a second, at a stated error."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from flowbench.errors import InputError
from flowbench.evaluation.matched import Pool, prepare_pool
from flowbench.evaluation.measuring import measuring, place, seeded
from flowbench.evaluation.result import Evaluation
from flowbench.families.flow import Flow
from flowbench.spec.run import EvaluationSpec

TARGET_ERROR = 1e-4
AT_ERROR = "_at_1e-4"
"""Ending of the names of speeds that hold at the target error."""

WARM_UPS = 5
REPEATS = range(3, 201)
"""Fewest and most timed calls of a batch size; between them time decides."""
SECONDS = 1.0
"""Time given to each batch size, once the fewest calls are done; also to its warm-up."""
LONGEST = 10.0
"""Time after which even the fewest calls are cut short, to one at the least."""


@dataclass(frozen=True)
class Timing:
    """Seconds a call: median and interquartile range over repeats."""

    median: float
    spread: float
    repeats: int


def measure_speed(flow: Flow, spec: EvaluationSpec, context: Tensor | None = None) -> Evaluation:
    """Time sampling at every batch size of `spec`; nothing else should run meanwhile.

    For each batch size n: `sampling/b{n}/latency_ms` (median time of a call),
    `.../latency_ms_iqr`, `.../samples_per_second`. Samplers that iterate are first loosened as far
    as a worst error of 1e-4 in flow coordinates allows, against a float64 decode of the same
    latents; the names of their speeds end in `_at_1e-4`, and they have none where their tightest
    setting cannot meet it. `sampling/worst_error` is what was reached (not known of a user's own
    flow).

    Args:
        flow: a fitted model.
        spec: the batch sizes.
        context: for a conditional flow contexts to sample at, ``(N, C)``, taken in turn.

    Raises:
        InputError: if a conditional flow is given no contexts.
    """
    if flow.context_size and context is None:
        raise InputError("sampling a conditional flow: contexts are needed")
    device, dtype = place(flow)
    iterative = flow.inverse_label == "iterative"
    labels = {
        "device": device_name(device),
        "threads": str(torch.get_num_threads()),
        "precision": str(dtype).removeprefix("torch."),
        "inverse": flow.inverse_label,
    }
    metrics: dict[str, float] = {}
    ending = ""
    with measuring(flow), torch.inference_mode():
        pool = prepare_pool(flow, max(spec.speed_batches), context, TARGET_ERROR)
        if pool is not None:
            metrics["sampling/worst_error"] = pool.error
        if iterative and pool is None:
            labels["speed"] = "at an unknown error: a user's own iterations"
        elif iterative and pool is not None:
            ending = AT_ERROR
            labels["sampler"] = pool.setting
            if not pool.error <= TARGET_ERROR:
                labels["speed"] = f"not timed: error {pool.error:.1e} at the tightest setting"
                return Evaluation(metrics, labels)
        for n in spec.speed_batches:
            timing = timed(_sampler(flow, n, pool if iterative else None, context), device)
            prefix = f"sampling/b{n}"
            metrics[f"{prefix}/latency_ms{ending}"] = 1e3 * timing.median
            metrics[f"{prefix}/latency_ms_iqr{ending}"] = 1e3 * timing.spread
            metrics[f"{prefix}/samples_per_second{ending}"] = n / timing.median
    return Evaluation(metrics, labels)


def _sampler(flow: Flow, n: int, pool: Pool | None, context: Tensor | None) -> Callable[[], object]:
    """Return a call that samples a batch of n.

    An iterative sampler decodes latents of the pool, in turn: those whose error is known. It draws
    fresh noise as well, so that the time of drawing counts.
    """
    generator = seeded(flow)
    if pool is None:
        rows = None if context is None else context[torch.arange(n) % len(context)]
        return lambda: flow.sample(n, rows, generator=generator)
    turn = count()

    def decode() -> Tensor:
        flow.base.sample(n, generator=generator)
        return pool.decode(flow, n, next(turn))

    return decode


def timed(call: Callable[[], object], device: torch.device) -> Timing:
    """Time a call: warmed up, the device waited for, median and quartiles over repeats."""
    began = time.perf_counter()
    for _ in range(WARM_UPS):
        call()
        _wait(device)
        if time.perf_counter() - began > SECONDS:
            break
    seconds: list[float] = []
    total = 0.0
    while len(seconds) < REPEATS.stop - 1:
        _wait(device)
        start = time.perf_counter()
        call()
        _wait(device)
        seconds.append(time.perf_counter() - start)
        total += seconds[-1]
        if total > (SECONDS if len(seconds) >= REPEATS.start else LONGEST):
            break
    quartiles = torch.tensor(seconds, dtype=torch.float64).quantile(
        torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    )
    low, median, high = quartiles.tolist()
    return Timing(median, high - low, len(seconds))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_name(device: torch.device) -> str:
    """Return the device's own name: speeds of different devices are never ranked together."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({_processor()})"


def _processor() -> str:
    """Return the processor's model where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
