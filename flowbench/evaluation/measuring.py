"""The state in which a flow is measured: eval mode, no gradients, full precision, fixed noise."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor

from flowbench.data.module import FlowData
from flowbench.families.flow import Flow
from flowbench.spec.vocabulary import Split

Item = TypeVar("Item")

SEED = 0
"""Keys the noise of every measurement, so that a model gives the same numbers each time."""


@contextmanager
def measuring(flow: Flow) -> Iterator[None]:
    """Hold a flow in eval mode without gradients; no product on a GPU rounds to TF32."""
    training, products = flow.training, torch.get_float32_matmul_precision()
    flow.eval()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(products)
        flow.train(training)


def place(flow: Flow) -> tuple[torch.device, torch.dtype]:
    """Return the device and the precision that a flow computes in."""
    parameter = next(flow.parameters())
    return parameter.device, parameter.dtype


def within(seconds: float | None, items: Iterable[Item]) -> Iterator[Item]:
    """Yield items, the first in any case, until time is up; None sets no limit."""
    began = time.monotonic()
    for item in items:
        yield item
        if seconds is not None and time.monotonic() - began > seconds:
            return


def in_double(flow: Flow) -> Flow:
    """Return a copy in float64 and eval mode, whose parameters take no gradients."""
    return deepcopy(flow).double().eval().requires_grad_(False)


def seeded(flow: Flow) -> torch.Generator:
    """Return a generator on the flow's device, in the same state each time."""
    return torch.Generator(place(flow)[0]).manual_seed(SEED)


def held_out_context(flow: Flow, data: FlowData, split: Split, count: int) -> Tensor | None:
    """Return the contexts of held-out rows, ``(count, C)``, again from the first where they end.

    None for a flow that takes no context.
    """
    if not flow.context_size:
        return None
    device, dtype = place(flow)
    known = [batch.context for batch in data.batches(split, limit=count)]
    context = torch.cat([each for each in known if each is not None]).to(device, dtype)
    return context[torch.arange(count, device=device) % len(context)]
