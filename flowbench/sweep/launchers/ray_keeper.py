"""The actor that runs a trial's process on a node of a Ray cluster."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from flowbench.run_directory import PARENT
from flowbench.sweep.launchers.base import signal_session
from flowbench.sweep.memory import OomKills

ABANDONED_SECONDS = 60.0
"""Time in which somebody has to ask for the exit code of an ended process; then its actors end."""
POLL_SECONDS = 0.05


class Keeper:
    """An actor that runs one process on its node.

    Args:
        rank: of the node among those of the trial.
    """

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._process: subprocess.Popen[bytes] | None = None
        self._kills = OomKills()

    async def meeting_point(self) -> str:
        """Return an address of this node and a port of it that is free."""
        import ray

        host: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        with socket.socket() as probe:
            probe.bind((host, 0))
            return f"{host}:{probe.getsockname()[1]}"

    async def run(
        self,
        words: Sequence[str],
        rendezvous: str,
        environment: Mapping[str, str],
        directory: str,
        log: str,
    ) -> tuple[int, bool]:
        """Run a Python program; return as `wait`.

        Args:
            words: what follows `python`.
            rendezvous: where several leaders meet; empty for one.
            environment: changes to this node's.
            directory: where it runs.
            log: where its output is added.
        """
        place = ["--rendezvous", rendezvous] if rendezvous else []
        with Path(log).open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, *words, *place],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, PARENT: str(os.getpid())},
                cwd=directory,
                start_new_session=True,
            )
        if self._rank == 0:  # the others have done their part before it has
            self._watch = asyncio.create_task(self._end_when_abandoned(self._process))
        return await self.wait()

    async def begun(self) -> bool:
        """Say whether there is a process, or was one."""
        return self._process is not None

    async def wait(self) -> tuple[int, bool]:
        """Return the process's exit code, and whether memory ran out on this node meanwhile."""
        while self._process is None or (code := self._process.poll()) is None:
            await asyncio.sleep(POLL_SECONDS)
        return code, self._kills.any()

    async def signal(self, number: int) -> None:
        """Signal the process and all that it started."""
        if self._process is not None and self._process.poll() is None:
            signal_session(self._process.pid, signal.Signals(number))

    async def _end_when_abandoned(self, process: "subprocess.Popen[bytes]") -> None:
        """End the actors of this trial where no driver does it."""
        import ray

        while process.poll() is None:
            await asyncio.sleep(POLL_SECONDS)
        await asyncio.sleep(ABANDONED_SECONDS)
        ray.util.remove_placement_group(ray.util.get_current_placement_group())
