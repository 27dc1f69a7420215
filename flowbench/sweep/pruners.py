"""Optuna's pruners as a sweep file names them."""

from typing import TYPE_CHECKING

from flowbench.spec.sweep import SweepSpec
from flowbench.sweep.space import trial_count

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


def pruner(sweep: SweepSpec, family: str) -> "BasePruner":
    """Return what stops the trials of a family that fall behind on validation bits/dim."""
    from optuna import pruners

    match sweep.pruner:
        case "none":
            return pruners.NopPruner()
        case "median":
            startup = max(2, min(5, trial_count(sweep, family) // 3))
            return pruners.MedianPruner(n_startup_trials=startup)
        case "asha":
            return pruners.SuccessiveHalvingPruner()
        case "hyperband":
            epochs = sweep.budget.unit == "epochs"
            most = int(sweep.budget.per_trial) if epochs else "auto"
            return pruners.HyperbandPruner(max_resource=most)
