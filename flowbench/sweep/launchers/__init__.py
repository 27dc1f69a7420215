"""Where trials run: this machine's slots, or a cluster."""

from flowbench.spec.sweep import Resources
from flowbench.sweep.launchers.base import Launcher
from flowbench.sweep.launchers.local import LocalLauncher


def open_launcher(resources: Resources) -> Launcher:
    """Return the place that a sweep's resources name."""
    return LocalLauncher(resources.slots, resources.devices_per_trial)
