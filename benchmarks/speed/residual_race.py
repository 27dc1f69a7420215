"""What the races of residual flows share: their floor, and how they are timed."""

from collections.abc import Callable
from copy import deepcopy
from statistics import median

import torch
from torch import Tensor, nn

from benchmarks.speed.contestant import Contestant
from benchmarks.speed.ours import alone
from benchmarks.speed.race import interleaved, ratio
from benchmarks.speed.table import MIB, Row
from flowbench.evaluation.memory import peak_memory_of
from flowbench.families.residual import Residual
from flowbench.networks.contractive import LipSwish
from flowbench.networks.lipschitz import LipschitzLinear


def floor(flow: Residual, x: Tensor) -> Contestant:
    """Return the branches' networks alone, each at the input that it has within the flow."""
    return alone([_network(block.branch) for block in flow.blocks()], flow._branch_inputs(x))


def _network(branch: nn.Module) -> nn.Sequential:
    """Return a branch's network without bounds on its norm."""
    layers: list[nn.Module] = []
    for each in branch.modules():
        if isinstance(each, LipschitzLinear):
            made = nn.Linear(each.weight.shape[1], each.weight.shape[0])
            with torch.no_grad():
                made.weight.copy_(each.bounded_weight())
                made.bias.copy_(each.bias)
            layers.append(made.to(each.weight.dtype))
        elif isinstance(each, LipSwish):
            layers.append(deepcopy(each))
    return nn.Sequential(*layers)


def raced(
    what: str,
    calls: dict[str, Callable[[], object]],
    how: dict[str, str],
    rounds: int,
    seconds: float,
    *,
    peaks: bool = False,
) -> list[Row]:
    """Race some calls; ratios are to the first.

    Args:
        what: they do.
        calls: by library.
        how: each does it, by library.
        rounds: see `interleaved`.
        seconds: see `interleaved`.
        peaks: whether their peak memory is measured too.
    """
    taken = interleaved(calls, rounds=rounds, seconds=seconds)
    base = next(iter(taken.values()))
    cpu = torch.device("cpu")
    peak = {name: peak_memory_of(call, cpu) / MIB for name, call in calls.items()} if peaks else {}
    return [
        (what, name, str(ratio(times, base)), 1e3 * median(times), peak.get(name),
         how.get(name, ""))
        for name, times in taken.items()
    ]  # fmt: skip
