"""`python -m flowbench.trial`: the program that drivers start.

RUN_DIR --attempt N    train and measure a run; what happens is written to its attempt's directory
  --nodes K --node-rank I --rendezvous HOST:PORT
                       do one of K nodes' share of it; all of them meet at a port of the first
--speed RUN_DIR...     measure the sampling speed of finished runs, into their `speed.json`
--resolve              answer a sweep's question on standard input: are its keys and data right?

Exit codes: 0 done, however the trial ended: its `result.json` says it; 1 the code failed; 2 bad
input; 28 no space left, and no result; 128 + n ended by signal n.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from flowbench.errors import InputError
from flowbench.run_directory import PARENT, RunDirectory
from flowbench.trial.processes import die_with, exit_on_signals

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments ask; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flowbench.trial", description=__doc__)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--attempt", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--node-rank", type=int, default=0)
    parser.add_argument("--rendezvous")
    parser.add_argument("--speed", nargs="+", type=Path)
    parser.add_argument("--resolve", action="store_true")
    asked = parser.parse_args(arguments)
    # Before the imports below: they take seconds, and the parent may die in them.
    if parent := os.environ.get(PARENT):
        die_with(int(parent))
    exit_on_signals()
    try:
        if asked.resolve:
            from flowbench.trial.resolve import answer

            print(answer(sys.stdin.read()))
            return 0
        if asked.speed:
            from flowbench.trial.speed import measure

            return measure([RunDirectory(path) for path in asked.speed])
        if asked.run is None:
            parser.error("a run directory, --speed or --resolve is needed")
        from flowbench.trial.leader import lead

        run = RunDirectory(asked.run)
        node = None
        if asked.nodes > 1:
            from flowbench.trial.elastic import Node

            node = Node(asked.nodes, asked.node_rank, asked.rendezvous)
        return lead(run, run.attempt(asked.attempt), node)
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
