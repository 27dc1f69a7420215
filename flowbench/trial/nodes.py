"""A trial over several nodes: a leader on each, of which the first writes the result.

Leaders meet at an address that their engine chooses, and number their ranks by node, so that rank 0
is on the first. How another node failed is left in the attempt's directory, for the first to tell.
"""

import signal
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil
from torch.distributed import DistError
from torch.distributed.elastic.rendezvous import RendezvousError

from flowbench.run_directory import AttemptDirectory, RunDirectory, write_atomically
from flowbench.trial.elastic import Node, run_ranks
from flowbench.trial.ending import Ending

WORD_SECONDS = 10.0
"""How long the first leader waits for another's word when its own ranks only lost a connection."""
WATCH_SECONDS = 0.5
SIGNALLED = 128
"""An exit code above it names a signal."""
DONE = Ending(result=None)
LOST = Ending(result=None, exit_code=SIGNALLED + signal.SIGKILL)


def run_node(run: RunDirectory, attempt: AttemptDirectory, ranks: int, node: Node) -> Ending:
    """Run a node's share of a trial's ranks, and return how the trial ended.

    Only the first node can tell: elsewhere the ending has no result.

    Args:
        run: the run.
        attempt: its directory, which all nodes share.
        ranks: how many are on this node.
        node: which one it is.
    """
    if node.rank > 0:
        own = _run_ranks(run, attempt, ranks, node)
        if own == DONE or _is_lost(own):
            return own
        write_atomically(_word_path(attempt, node.rank), own.model_dump_json())
        return DONE  # an engine may end the other leaders at once where one fails
    with Watch(attempt, node.count):
        own = _run_ranks(run, attempt, ranks, node)
    if not _is_lost(own):
        return own
    deadline = time.monotonic() + WORD_SECONDS
    while (word := _others_word(attempt, node.count)) is None and time.monotonic() < deadline:
        time.sleep(WATCH_SECONDS)
    return word or own


class Watch:
    """Ends the first node's ranks when another node's have failed: they may wait for them for long.

    Args:
        attempt: where the others leave their word.
        nodes: how many there are.
    """

    def __init__(self, attempt: AttemptDirectory, nodes: int) -> None:
        self._attempt, self._nodes = attempt, nodes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(WATCH_SECONDS):
            if _others_word(self._attempt, self._nodes) is not None:
                for rank in psutil.Process().children():
                    with suppress(psutil.NoSuchProcess):
                        rank.kill()


def _run_ranks(run: RunDirectory, attempt: AttemptDirectory, ranks: int, node: Node) -> Ending:
    try:
        return run_ranks(run, attempt, ranks, node)
    except (DistError, RendezvousError):  # another leader did not come, or went
        traceback.print_exc()
        return LOST


def _is_lost(ending: Ending) -> bool:
    """Say whether a process or a connection was lost: that is no end of the trial's own."""
    return ending.result is None and ending.exit_code > SIGNALLED


def _others_word(attempt: AttemptDirectory, nodes: int) -> Ending | None:
    """Return how another node's ranks failed, None while none has said so."""
    for rank in range(1, nodes):
        path = _word_path(attempt, rank)
        if path.is_file():
            return Ending.model_validate_json(path.read_text())
    return None


def _word_path(attempt: AttemptDirectory, rank: int) -> Path:
    return attempt.path / f"node-{rank}.json"
