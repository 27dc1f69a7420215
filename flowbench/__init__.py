"""FlowBench: compare normalizing-flow families on your data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowbench.families.flow import Flow
    from flowbench.run_directory import TrialResult
    from flowbench.spec.run import RunSpec

__all__ = ["Trained", "load", "train"]


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        id: the name of its directory under `runs/`.
        result: its outcome, metrics and labels.
    """

    id: str
    result: TrialResult

    def flow(self) -> Flow:
        """Load the run's best model, see `load`."""
        return load(self.id)


def load(name: str) -> Flow:
    """Load a model in eval mode, on the CPU.

    Args:
        name: a run's id, its directory, or a checkpoint file.

    Raises:
        flowbench.errors.InputError: if there is no such run or file, or it is no checkpoint.
    """
    from flowbench.families.checkpoint import load_flow
    from flowbench.run_directory import find_model

    return load_flow(find_model(name))


def train(spec: RunSpec | Mapping[str, Any], *, quiet: bool = False) -> Trained:
    """Train, measure and record one run, as `flowbench train` does.

    Args:
        spec: a specification, or its sections as nested mappings: ``{"family": {"name":
            "realnvp"}, "data": {"name": "moons"}}``.
        quiet: show no progress.

    Returns:
        The run, also where it failed: its result says how.

    Raises:
        flowbench.errors.InputError: for a mistake in the specification or in the data.
    """
    from flowbench.cli.configuring import complete
    from flowbench.spec.run import RunSpec
    from flowbench.spec.validation import validated
    from flowbench.sweep.single import new_run_id, run_single

    given = spec if isinstance(spec, RunSpec) else validated(RunSpec, spec)
    full = complete(given)
    run_id = new_run_id(full)
    return Trained(run_id, run_single(full, run_id, quiet=quiet))
