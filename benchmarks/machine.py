"""What the figures were measured on."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.tables import Table
from flowbench.tracking.provenance import git_commit

PACKAGES = ("torch", "pytorch-lightning", "optuna", "mlflow", "flowbench")
BUSY = "The load says whether the machine was idle: other work makes every time longer."


def machine() -> Table:
    """Describe this machine, and how busy it is now."""
    facts = {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "commit": git_commit() or "unknown",
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "load before the start": f"{os.getloadavg()[0]:.1f}",
    }
    return Table("machine", "Machine", ("fact", "value"), list(facts.items()), BUSY)


def _processor() -> str:
    """Return the processor's name as Linux knows it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
