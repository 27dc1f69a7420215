"""The races of coupling flows, planar and Sylvester layers, and their table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

from benchmarks.speed.architectures import Architecture
from benchmarks.speed.contestant import OPERATIONS, Contestant, Operation
from benchmarks.speed.ours import floors, flowbench
from benchmarks.speed.race import interleaved, ratio
from benchmarks.tables import Cell
from flowbench.evaluation.memory import peak_memory_of

COLUMNS = (
    "work",
    "library",
    "mode",
    *(f"{operation}: ratio" for operation in OPERATIONS),
    *(f"{operation}, ms" for operation in OPERATIONS),
    "peak of a step, MiB",
)
MIB = 2**20

Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: the most of each race.
        seconds: of each race.
        compiled: whether compiled calls run too: a program takes seconds to build.
    """

    rounds: int = 40
    seconds: float = 16.0
    compiled: bool = True


def rows(architecture: Architecture, effort: Effort) -> list[Row]:
    """Race all implementations of an architecture; ratios are to the eager networks alone.

    Where there are no networks they are to FlowBench.
    """
    x = architecture.points()
    contestants = entrants(architecture, effort)
    base = contestants[0]
    calls = {contestant.key: contestant.calls(x) for contestant in contestants}
    for contestant in contestants:
        if contestant.mode == "compiled" and not _run(calls[contestant.key]):
            calls[contestant.key] = {}
    taken = {
        operation: interleaved(
            {key: each[operation] for key, each in calls.items() if operation in each},
            rounds=effort.rounds,
            seconds=effort.seconds,
        )
        for operation in OPERATIONS
    }
    found: list[Row] = []
    for contestant in contestants:
        ratios: list[Cell] = []
        milliseconds: list[Cell] = []
        for operation in OPERATIONS:
            seconds = taken[operation].get(contestant.key)
            reference = taken[operation][base.key]
            ratios.append(None if seconds is None else str(ratio(seconds, reference)))
            milliseconds.append(None if seconds is None else 1e3 * median(seconds))
        found.append(
            (
                architecture.title,
                *contestant.key,
                *ratios,
                *milliseconds,
                _peak(contestant, calls[contestant.key]),
            )
        )
    return found


def entrants(architecture: Architecture, effort: Effort) -> list[Contestant]:
    """Return who takes part, the one that ratios are to first."""
    flow = architecture.flow()
    ours = flowbench(flow)
    eager = [ours, ours.fused(), *(peer(flow) for peer in architecture.peers)]
    if architecture.networks:
        alone, own = floors(flow, architecture.points())
        eager = [alone, alone.fused(), own, *eager]
    if not effort.compiled:
        return eager
    torch.compiler.reset()
    return [*eager, *(each.compiled() for each in eager if each.mode == "eager")]


def _run(calls: Mapping[Operation, Callable[[], object]]) -> bool:
    """Run each call, whose program is made by that; say whether there can be one.

    Flows of other libraries fail to compile in ways of their own.
    """
    try:
        for call in calls.values():
            call()
    except Exception as error:
        print(f"not compiled: {type(error).__name__}: {str(error).splitlines()[:1]}")
        return False
    return True


def _peak(contestant: Contestant, calls: Mapping[Operation, Callable[[], object]]) -> Cell:
    """Return the peak memory of a step; what a compiled program allocates is not seen."""
    if contestant.mode == "compiled" or "step" not in calls:
        return None
    return peak_memory_of(calls["step"], torch.device("cpu")) / MIB
