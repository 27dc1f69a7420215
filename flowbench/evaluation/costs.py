"""What a flow costs beside the time of its samples: densities, a training step, memory, FLOPs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from flowbench.data.module import FlowData
from flowbench.evaluation.flops import flops_of
from flowbench.evaluation.measuring import SEED, held_out_context, measuring, place
from flowbench.evaluation.memory import peak_memory_of
from flowbench.evaluation.result import Evaluation
from flowbench.evaluation.sampler import Sampler
from flowbench.evaluation.timing import timed
from flowbench.evaluation.training_step import TrainingStep, training_batch
from flowbench.families.flow import Flow
from flowbench.spec.run import EvaluationSpec
from flowbench.spec.vocabulary import Split

COUNTED = 64
"""Samples, or points, in the batch whose memory and operations are counted."""
MIB = 2**20


def measure_costs(sampler: Sampler, data: FlowData, spec: EvaluationSpec) -> Evaluation:
    """Measure everything but sampling speed; nothing else should run meanwhile.

    * `density/b{n}/{latency_ms,latency_ms_iqr,points_per_second}`: log_prob of n held-out points;
    * `training/{step_ms,step_ms_iqr}`: a step on a copy of the model, at the batch size of `data`
      (label `training_batch`);
    * `memory/{sampling,density,training}_mib`: peak beside the model and its batch, of 64 samples,
      of 64 points, of a first training step;
    * `flops/{sampling,density,training_step}`: of matrix products and convolutions, a point.

    An iterative sampler runs at its stated error, and is left out where it cannot meet it.

    Args:
        sampler: of a fitted model.
        data: the data set it was trained on, at the batch size it was trained with.
        spec: batch sizes and split.
    """
    flow = sampler.flow
    device = place(flow)[0]
    metrics: dict[str, float] = {}
    with measuring(flow), torch.inference_mode():
        for n in spec.speed_batches:
            timing = timed(density(flow, data, spec.split, n), device)
            metrics |= timing.latency(f"density/b{n}/latency_ms")
            metrics[f"density/b{n}/points_per_second"] = n / timing.median
    counted = {"density": density(flow, data, spec.split, COUNTED)}
    if sampler.meets:
        counted["sampling"] = sampler.batch(COUNTED)
    # Inference mode would hide some products from the counter.
    with measuring(flow):
        for name, call in counted.items():
            metrics[f"memory/{name}_mib"] = peak_memory_of(call, device) / MIB
            metrics[f"flops/{name}"] = flops_of(call) / COUNTED
    batch = training_batch(flow, data)
    with torch.enable_grad():
        step = TrainingStep(flow, batch)
        metrics["memory/training_mib"] = peak_memory_of(step, device) / MIB
        metrics["flops/training_step"] = flops_of(step) / len(batch)
        metrics |= timed(step, device).latency("training/step_ms")
    return Evaluation(metrics, {"training_batch": str(len(batch))})


def density(flow: Flow, data: FlowData, split: Split, n: int) -> Callable[[], Tensor]:
    """Return a call that evaluates log p of n held-out points, again from the first if fewer."""
    device, dtype = place(flow)
    batch = torch.cat([each.x for each in data.batches(split, limit=n)]).to(device, dtype)
    rows = torch.arange(n, device=device)
    x = batch[rows % len(batch)]
    context = held_out_context(flow, data, split, n)

    def log_prob() -> Tensor:
        flow.key_noise(SEED, 0, rows)
        value: Tensor = flow(x, context)
        return value

    return log_prob
