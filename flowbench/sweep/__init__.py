"""Asks for hyperparameters, hands trials to processes, judges how they end."""

from flowbench.sweep.running import resume_sweep, run_sweep
from flowbench.sweep.single import new_run_id, run_single
from flowbench.sweep.status import SweepStatus, sweep_status

__all__ = [
    "SweepStatus",
    "new_run_id",
    "resume_sweep",
    "run_single",
    "run_sweep",
    "sweep_status",
]
