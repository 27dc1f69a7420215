"""Where trials run: this machine's slots, or a cluster."""

from flowbench.spec.sweep import Resources
from flowbench.sweep.launchers.base import Launcher
from flowbench.sweep.launchers.local import LocalLauncher


def open_launcher(resources: Resources) -> Launcher:
    """Return the place that a sweep's resources name.

    Raises:
        InputError: if its engine is not installed, or no cluster answers.
    """
    match resources.engine:
        case "ray":
            from flowbench.sweep.launchers.ray import RayLauncher

            return RayLauncher(resources)
        case "slurm":
            from flowbench.sweep.launchers.slurm import SlurmLauncher

            return SlurmLauncher(resources)
        case _:
            return LocalLauncher(resources.slots, resources.devices_per_trial)
