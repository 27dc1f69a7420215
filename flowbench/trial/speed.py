"""Measuring the sampling speed of finished runs, one at a time."""

from flowbench.data.module import open_data
from flowbench.errors import InputError
from flowbench.evaluation import measure_speed
from flowbench.families.checkpoint import load_flow
from flowbench.run_directory import DISK_FULL, RunDirectory, TrialResult, write_atomically
from flowbench.training.placement import device_type
from flowbench.trial.ending import is_disk_full
from flowbench.trial.limits import set_threads


def measure(runs: list[RunDirectory]) -> int:
    """Write each run's `speed.json`; return the exit code."""
    try:
        for run in runs:
            result = measured(run)
            write_atomically(run.speed_path, result.model_dump_json(indent=1))
    except OSError as error:
        if not is_disk_full(error):
            raise
        return DISK_FULL
    return 0


def measured(run: RunDirectory) -> TrialResult:
    """Return the sampling speed of a run's model, on the kind of device that it was trained on.

    Raises:
        InputError: if the run has no model.
    """
    spec = run.spec()
    attempt = run.finished_attempt()
    if attempt is None:
        raise InputError(f"{run.id}: this run has no model (it has not validated once)")
    set_threads(spec.training, None)
    flow = load_flow(attempt.model).to(device_type(spec.training))
    data = None
    if flow.context_size or spec.evaluation.protocol == "full":
        data = open_data(spec.data, spec.data_seed, spec.training.batch_size)
    evaluation = measure_speed(flow, spec.evaluation, data)
    return TrialResult(outcome="completed", metrics=evaluation.metrics, labels=evaluation.labels)
