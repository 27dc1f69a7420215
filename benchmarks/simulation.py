"""A discrete simulation of drivers that keep many GPUs busy with trials."""

import heapq
from collections import deque
from dataclasses import dataclass

import numpy as np

ROUND_SECONDS = 0.02
"""The shortest pause between two rounds of a driver's loop; it sleeps twice what a round took."""


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


class Queue:
    """Who waits for something that serves one at a time: the first is being served."""

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()

    def join(self, who: int) -> bool:
        """Get into line; return whether it is one's turn at once."""
        self._waiting.append(who)
        return len(self._waiting) == 1

    def leave(self) -> int | None:
        """End the first one's turn; return whose turn it is now."""
        self._waiting.popleft()
        return self._waiting[0] if self._waiting else None


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

    Each driver has its part of the GPUs, a trial on each, and does one thing at a time. It notices
    in a round of its loop that a trial has ended, tells, and asks for the next one, for which it
    waits until no other driver asks in the same search. Trials last between half and one and a half
    of their mean. All GPUs start empty; the first fifth of the time is not counted.

    Args:
        engine: what the drivers' work takes.
        gpus: trials at once, of one GPU each.
        drivers: how many share the sweep.
        searches: families times data sets; trials take turns at them.
        trial_seconds: mean time of a trial.
        trials_per_gpu: how long to simulate: so many times the mean.
        seed: of the trials' lengths.
    """
    random = np.random.default_rng(seed)
    round_seconds = gpus / drivers * engine.follow
    pause = round_seconds + max(ROUND_SECONDS, 2 * round_seconds)
    horizon = trials_per_gpu * trial_seconds
    begin = horizon / 5
    at_driver = [Queue() for _ in range(drivers)]
    at_search = [Queue() for _ in range(searches)]
    search_of = [0] * gpus
    busy, asked = 0.0, 0
    events = [(0.0, gpu, "seen") for gpu in range(gpus)]
    while events:
        now, gpu, what = heapq.heappop(events)
        driver, search = at_driver[gpu % drivers], at_search[search_of[gpu]]
        if now > horizon:
            break
        if what == "seen" and driver.join(gpu):
            heapq.heappush(events, (now + engine.tell, gpu, "told"))
        elif what == "told":
            search_of[gpu] = asked % searches
            asked += 1
            if at_search[search_of[gpu]].join(gpu):
                heapq.heappush(events, (now + engine.ask, gpu, "asked"))
        elif what == "asked":
            if (other := search.leave()) is not None:
                heapq.heappush(events, (now + engine.ask, other, "asked"))
            if (other := driver.leave()) is not None:
                heapq.heappush(events, (now + engine.tell, other, "told"))
            end = now + trial_seconds * random.uniform(0.5, 1.5)
            busy += max(0.0, min(end, horizon) - max(now, begin))
            heapq.heappush(events, (end + pause / 2, gpu, "seen"))
    return float(busy / (gpus * (horizon - begin)))
