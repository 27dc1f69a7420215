"""How much of the slots' time goes into training, over a sweep of trials of about five seconds."""

import os
import time

from benchmarks.sweeps import own_home, small_sweep, stopwatch
from benchmarks.tables import Table, console
from flowbench.sweep.launchers.local import LocalLauncher

TRIALS = 40
SECONDS = 5.0
NOTE = (
    "Trials of a budget in device-seconds, one slot a core, from the first ask to the last tell."
    " Training: from the first step to the last. Held: a slot has a trial's process."
)


def utilisation(trials: int = TRIALS, seconds: float = SECONDS) -> Table:
    """Run the trials and add up what they took."""
    slots = len(os.sched_getaffinity(0))
    with own_home():
        sweep = small_sweep(
            "slots", trials=trials + 1, training={"batch_size": 256, "max_seconds": seconds},
            rows=2048,
        )  # fmt: skip
        launcher = LocalLauncher(slots)
        with stopwatch(sweep) as watch:
            watch.go(launcher, 1)  # the fork server has its imports then
            began = time.monotonic()
            watch.go(launcher, trials)
            available = slots * (time.monotonic() - began)
            results = [result for run in watch.runs[1:] if (result := run.result())]
    training = sum(result.device_seconds for result in results)
    held = sum(result.seconds for result in results)
    row = (float(trials), float(slots), seconds, training / available, held / available)
    columns = ("trials", "slots", "seconds each", "training", "held")
    return Table("utilisation", "Share of the slots' time", columns, [row], NOTE)


if __name__ == "__main__":
    utilisation().show(console())
