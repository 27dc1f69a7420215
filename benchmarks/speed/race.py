"""Timing calls in turns, so that whatever else the machine does is shared by all of them."""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from math import comb
from statistics import median
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

WARM_UPS = 3
LEAST_ROUNDS = 5


@dataclass(frozen=True)
class Ratio:
    """How many times as long as another call: the median over rounds, and its 95 % interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{_short(self.median)} ({_short(self.low)}-{_short(self.high)})"


def interleaved(
    calls: Mapping[Key, Callable[[], object]], *, rounds: int, seconds: float
) -> dict[Key, list[float]]:
    """Time each call once a round, and begin each round with another one.

    Args:
        calls: what is timed; each is called `WARM_UPS` times before.
        rounds: the most.
        seconds: after which no further round begins, once there are `LEAST_ROUNDS`, or `rounds`.

    Returns:
        Seconds of each call, round by round.
    """
    for call in calls.values():
        for _ in range(WARM_UPS):
            call()
    keys = list(calls)
    taken: dict[Key, list[float]] = {key: [] for key in keys}
    began = time.perf_counter()
    for number in range(rounds):
        if number >= LEAST_ROUNDS and time.perf_counter() - began > seconds:
            break
        turn = number % len(keys)
        for key in keys[turn:] + keys[:turn]:
            start = time.perf_counter()
            calls[key]()
            taken[key].append(time.perf_counter() - start)
    return taken


def ratio(taken: list[float], base: list[float]) -> Ratio:
    """Return the median of the rounds' ratios with its interval, whatever their distribution."""
    ratios = sorted(a / b for a, b in zip(taken, base, strict=True))
    low = _order_of_lower_end(len(ratios))
    return Ratio(median(ratios), ratios[low], ratios[-1 - low])


def _order_of_lower_end(n: int, level: float = 0.95) -> int:
    """Return k such that the k-th least and k-th most of n values (from 0) hold their median.

    Each value lies below the median with probability 1/2: at most (1 - level)/2 of the chance is
    left to k or fewer of them doing so.
    """
    outside, k = 1.0, 0
    while k < (n - 1) // 2 and outside / 2**n <= (1 - level) / 2:
        k += 1
        outside += comb(n, k)
    return max(k - 1, 0)


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.3g}"
