"""The leader of a trial: runs its ranks, and writes its result last."""

import time
from typing import TYPE_CHECKING

import psutil

from flowbench.run_directory import DISK_FULL, AttemptDirectory, RunDirectory
from flowbench.trial.ending import Ending, ending_of, is_disk_full
from flowbench.trial.rank import run_rank

if TYPE_CHECKING:
    from flowbench.trial.elastic import Node


def lead(run: RunDirectory, attempt: AttemptDirectory, node: "Node | None" = None) -> int:
    """Run a trial in this process, or its ranks in processes of their own; return the exit code.

    Args:
        run: has the specification.
        attempt: its directory exists; `result.json` is written to it, unless the disk is full or
            a signal ended a rank: then a new attempt may do better.
        node: this node among those that the ranks are spread over; None where there is one.
    """
    try:
        training = run.spec().training
        ending = (
            _several(run, attempt, training.devices, node)
            if training.distributed
            else _single(run, attempt)
        )
        return _finish(attempt, ending)
    except OSError as error:
        if not is_disk_full(error):
            raise
        return DISK_FULL


def _single(run: RunDirectory, attempt: AttemptDirectory) -> Ending:
    try:
        return Ending(result=run_rank(run, attempt))
    except Exception as error:
        return ending_of(error)


def _several(
    run: RunDirectory, attempt: AttemptDirectory, devices: int, node: "Node | None"
) -> Ending:
    from flowbench.trial.elastic import run_ranks

    if node is None:
        return run_ranks(run, attempt, devices)
    from flowbench.trial.nodes import run_node

    return run_node(run, attempt, devices // node.count, node)


def _finish(attempt: AttemptDirectory, ending: Ending) -> int:
    """Write the end down, the result last."""
    result = ending.result
    if result is not None:
        values = {"outcome": result.outcome, "reason": result.reason}
        attempt.append_event("end", {**values, "exit_code": ending.exit_code})
        # Of the whole process: what it took to start counts.
        seconds = time.time() - psutil.Process().create_time()
        attempt.write_result(result.model_copy(update={"seconds": seconds}))
    return ending.exit_code
