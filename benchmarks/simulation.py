"""A discrete simulation of drivers that keep many GPUs busy with trials."""

import heapq
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Engine:
    """What a driver's work takes, in seconds.

    Attributes:
        ask: a configuration from the storage; one at a time in each search.
        tell: the end of a trial to the storage.
        follow: a look at one running trial, in each round of a driver's loop.
    """

    ask: float
    tell: float
    follow: float = 0.0


ROUND_SECONDS = 0.02
"""The shortest pause between two rounds of a driver's loop; it sleeps twice what a round took."""


def busy_share(
    engine: Engine,
    *,
    gpus: int,
    drivers: int,
    searches: int,
    trial_seconds: float,
    trials_per_gpu: int = 20,
    seed: int = 0,
) -> float:
    """Return the share of the GPUs' time that goes into trials.

    Each driver has its part of the GPUs, a trial on each. It does one thing at a time: it notices
    in a round of its loop that a trial has ended, tells, and asks for the next, for which it waits
    until no other driver asks in the same search. Trials last between half and one and a half of
    their mean; all GPUs start empty, and the first fifth of the time is not counted.

    Args:
        engine: what the drivers' work takes.
        gpus: trials at once, of one GPU each.
        drivers: how many share the sweep.
        searches: families times data sets; GPUs take turns at them.
        trial_seconds: mean time of a trial.
        trials_per_gpu: how long to simulate.
        seed: of the trials' lengths.
    """
    lengths = np.random.default_rng(seed)
    driver_free = np.zeros(drivers)
    search_free = np.zeros(searches)
    followed = gpus / drivers
    pause = max(ROUND_SECONDS, 2 * followed * engine.follow) + followed * engine.follow
    horizon = trials_per_gpu * trial_seconds
    begin = horizon / 5
    busy = 0.0
    turn = 0
    ended = [(0.0, gpu) for gpu in range(gpus)]
    while ended:
        time, gpu = heapq.heappop(ended)
        driver, search = gpu % drivers, turn % searches
        turn += 1
        first = time == 0.0
        told = max(time + pause / 2, driver_free[driver]) + (0.0 if first else engine.tell)
        start = max(told, search_free[search]) + engine.ask
        driver_free[driver] = search_free[search] = start
        end = start + trial_seconds * lengths.uniform(0.5, 1.5)
        busy += max(0.0, min(end, horizon) - max(start, begin))
        if end < horizon:
            heapq.heappush(ended, (end, gpu))
    return busy / (gpus * (horizon - begin))
