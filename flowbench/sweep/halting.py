"""Asking the drivers of a sweep to stop: `sweep stop NAME`."""

import time

from flowbench.errors import RunFailed
from flowbench.run_directory import home
from flowbench.sweep.directory import SweepDirectory

PATIENCE = 60.0
"""Seconds within which a driver has ended its trials and left."""


def stop_sweep(name: str, patience: float = PATIENCE) -> list[int]:
    """Ask the drivers of a sweep to stop, and wait for those that are known here.

    One on a machine that shares the run directory, but not its locks, stops when it sees the file.

    Args:
        name: the sweep.
        patience: seconds to wait.

    Returns:
        The processes that have stopped.

    Raises:
        InputError: if there is no such sweep.
        RunFailed: if a driver is still there after that time.
    """
    directory = SweepDirectory(home() / name)
    directory.spec()
    stopping = [driver.pid for driver in directory.drivers()]
    directory.stop_file.touch()
    deadline = time.monotonic() + patience
    while left := {driver.pid for driver in directory.drivers()} & set(stopping):
        if time.monotonic() > deadline:
            raise RunFailed(
                f"sweep {name}: process {min(left)} has not stopped after {patience:.0f} s"
            )
        time.sleep(0.1)
    return stopping
