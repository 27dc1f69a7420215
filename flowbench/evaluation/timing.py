"""Timing a call: warmed up, the device waited for, the median and the spread over repeats."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

WARM_UPS = 5
REPEATS = range(3, 201)
"""Fewest and most timed calls; between them time decides."""
SECONDS = 1.0
"""Time given to each measurement, once the fewest calls are done; also to its warm-up."""
LONGEST = 10.0
"""Time after which even the fewest calls are cut short, to one at the least."""


@dataclass(frozen=True)
class Timing:
    """Seconds a call: median and interquartile range over repeats."""

    median: float
    spread: float
    repeats: int

    def latency(self, name: str, ending: str = "") -> dict[str, float]:
        """Return the two in milliseconds: `name` and `name_iqr`, each with the ending."""
        return {
            f"{name}{ending}": 1e3 * self.median,
            f"{name}_iqr{ending}": 1e3 * self.spread,
        }


def timed(call: Callable[[], object], device: torch.device) -> Timing:
    """Time a call, within the bounds above.

    Args:
        call: what is timed.
        device: waited for before and after each call.
    """
    began = time.perf_counter()
    for _ in range(WARM_UPS):
        call()
        wait(device)
        if time.perf_counter() - began > SECONDS:
            break
    seconds: list[float] = []
    total = 0.0
    while len(seconds) < REPEATS.stop - 1:
        wait(device)
        start = time.perf_counter()
        call()
        wait(device)
        seconds.append(time.perf_counter() - start)
        total += seconds[-1]
        if total > (SECONDS if len(seconds) >= REPEATS.start else LONGEST):
            break
    quartiles = torch.tensor(seconds, dtype=torch.float64).quantile(
        torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    )
    low, median, high = quartiles.tolist()
    return Timing(median, high - low, len(seconds))


def wait(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
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
