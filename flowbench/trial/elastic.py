"""N ranks of one trial through torch's elastic agent, which ends the others when one fails."""

import multiprocessing
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from flowbench.run_directory import AttemptDirectory, RunDirectory
from flowbench.trial import meeting
from flowbench.trial.ending import FAILED, PEER_LOST, Ending, ending_of
from flowbench.trial.processes import die_with, end_on_signals
from flowbench.trial.rank import run_rank

SHUTDOWN_SECONDS = 5
"""Time that ranks have to end by themselves when one has failed."""
POLL_SECONDS = 0.03
"""Between looks at the ranks: a trial ends so much after its last rank."""
MEETING_SECONDS = 600
"""How long a node waits for the others: they may read the program from a slow file system."""


@dataclass(frozen=True)
class Node:
    """The place of a leader among those of its trial, one on each node."""

    count: int = 1
    rank: int = 0
    rendezvous: str = ""
    """HOST:PORT of the first node, where all leaders and ranks meet; of no use to one alone."""

    def settings(self) -> dict[str, Any]:
        """Return how the agent meets the others.

        Among several the ranks are numbered by node: the agents' own way would number them by name
        of host, and rank 0 might be anywhere.
        """
        size = {"min_nodes": self.count, "max_nodes": self.count, "rdzv_endpoint": self.rendezvous}
        if self.count == 1:
            return {**size, "rdzv_backend": meeting.BACKEND}
        how = {"rank": self.rank, "timeout": MEETING_SECONDS}
        return {**size, "rdzv_backend": "static", "rdzv_configs": how}


ALONE = Node()


def run_ranks(
    run: RunDirectory, attempt: AttemptDirectory, ranks: int, node: Node = ALONE
) -> Ending:
    """Run a node's ranks in processes forked from this one, and return how they ended.

    To be called in the main thread, before any tensor operation: ranks inherit this process. Only
    the node with rank 0 has a result where all went well.
    """
    # Counting GPUs through CUDA itself would bar forked ranks from using them.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    endings: SimpleQueue[str] = multiprocessing.get_context("fork").SimpleQueue()
    with tempfile.TemporaryDirectory() as logs:
        config = LaunchConfig(
            **node.settings(),
            nproc_per_node=ranks,
            run_id=run.id,
            max_restarts=0,
            start_method="fork",
            logs_specs=DefaultLogsSpecs(log_dir=logs),
            shutdown_timeout=SHUTDOWN_SECONDS,
            monitor_interval=POLL_SECONDS,
        )
        exit_code = 0
        try:
            elastic_launch(config, _rank)(run.path, attempt.number, os.getpid(), endings)
        except SignalException as stop:
            raise SystemExit(128 + stop.sigval) from None
        except ChildFailedError as error:
            exit_code = error.get_first_failure()[1].exitcode
    if exit_code == -signal.SIGKILL:
        return Ending(result=None, exit_code=128 + signal.SIGKILL)
    # The first to say why is the cause: others lost their connection to it.
    while not endings.empty():
        ending = Ending.model_validate_json(endings.get())
        if ending.exit_code != PEER_LOST:
            return ending
    if exit_code == 0 and node.rank > 0:
        return Ending(result=None)
    if exit_code == PEER_LOST:  # the other went without a word: it was killed
        exit_code = -signal.SIGKILL
    if exit_code < 0:
        exit_code = 128 - exit_code
    return Ending(result=None, exit_code=exit_code or FAILED)


def _rank(path: Path, number: int, leader: int, endings: "SimpleQueue[str]") -> None:
    """Be one rank: the environment says which."""
    die_with(leader)
    end_on_signals()
    run = RunDirectory(path)
    try:
        result = run_rank(run, run.attempt(number))
        if result is not None:
            endings.put(Ending(result=result).model_dump_json())
    except Exception as error:
        ending = ending_of(error)
        endings.put(ending.model_dump_json())
        # A rank that returned would leave the others waiting for it.
        sys.exit(ending.exit_code or FAILED)
    except SystemExit as stop:
        if not stop.code:  # by the user's code: to the agent it would look as if all went well
            ending = ending_of(RuntimeError("a rank left by sys.exit before its end"))
            endings.put(ending.model_dump_json())
            sys.exit(FAILED)
        raise
