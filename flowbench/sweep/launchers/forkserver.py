"""Processes forked from a server that has everything imported: the client's side.

A trial in a fresh interpreter spends seconds on importing torch and Lightning; one that is forked
starts in a few hundredths of a second. The server is that of `multiprocessing`, without the
`Process` objects on top of it, which would import the driver's own script anew in each trial.
Linux only.
"""

import os
import pickle
import runpy
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import connection
from multiprocessing.forkserver import ForkServer, read_signed
from pathlib import Path

from flowbench.errors import RunFailed
from flowbench.run_directory import PARENT

SERVER_GONE = -9
"""Exit code of a process whose server died: the kernel kills it at once."""


@dataclass(frozen=True)
class TrialProgram:
    """A Python program that can run in a fresh interpreter or in a process forked from a server."""

    words: tuple[str, ...] = ("-m", "flowbench.trial")
    """What follows `python` on a command line: `-m` and a module, or a script."""
    preload: str = "flowbench.trial.preload"
    """The module that the server imports: it sets `PARENT`, and stops the server if it fails."""

    def run(self, arguments: Sequence[str]) -> int:
        """Run it in this process, as `__main__`; return its exit code."""
        script = self.words[-1]
        sys.argv = [script, *arguments]
        try:
            if self.words[0] == "-m":
                runpy.run_module(script, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(script, run_name="__main__")
        except SystemExit as stop:
            return _exit_code(stop)
        except BaseException:
            traceback.print_exc()
            return 1
        return 0


@dataclass(frozen=True)
class Order:
    """What a forked process is to do; sent to it, and run in place of a `multiprocessing.Process`.

    Attributes:
        program: what to run.
        arguments: its arguments.
        environment: all of it, the driver's as it is now: the server's may be older.
        log: where its output is added.
    """

    program: TrialProgram
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path

    def _bootstrap(self, parent_sentinel: int) -> int:
        """Become the program; called by `multiprocessing` in the forked process."""
        os.close(parent_sentinel)
        os.setsid()  # its ranks can be ended together, and a terminal's Ctrl-C is the driver's
        parent = os.environ.get(PARENT, "")
        os.environ.clear()
        os.environ.update(self.environment)
        os.environ[PARENT] = parent
        self._redirect()
        if self.program.preload not in sys.modules:  # `multiprocessing` passes over its failure
            print(f"the fork server has not imported {self.program.preload}", file=sys.stderr)
            return 1
        try:
            return self.program.run(self.arguments)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()

    def _redirect(self) -> None:
        """Read nothing, and write to the log, line by line."""
        nothing = os.open(os.devnull, os.O_RDONLY)
        output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for old, new in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(old, new)
        os.close(nothing)
        os.close(output)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - a descriptor, open for good
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115


class ForkedProcess:
    """A process that a server forked."""

    def __init__(self, status: int) -> None:
        self._status = status
        """A pipe: the process's number, then its exit code."""
        self.pid = read_signed(status)
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal that ended it), or None while it runs."""
        if self._code is None and connection.wait([self._status], 0):
            self._read()
        return self._code

    def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        return self._read() if self._code is None else self._code

    def _read(self) -> int:
        try:
            self._code = read_signed(self._status)
        except EOFError:
            self._code = SERVER_GONE
        os.close(self._status)
        return self._code


class TrialServer:
    """A fork server for one program, started at the first trial and again after its death.

    It asks the kernel to end it with the thread that started it, so that trials must be started by
    the driver's main thread.
    """

    def __init__(self, program: TrialProgram) -> None:
        self.program = program
        self._server = ForkServer()
        self._server.set_forkserver_preload([program.preload])

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> ForkedProcess:
        """Fork a process that runs the program.

        Raises:
            RunFailed: if the server cannot be started.
        """
        order = Order(self.program, tuple(arguments), dict(environment), log)
        # What `multiprocessing` prepares in the new process before it reads the order.
        place = {"sys_path": [path or os.getcwd() for path in sys.path], "dir": os.getcwd()}  # noqa: PTH109
        message = pickle.dumps(place) + pickle.dumps(order)
        for _ in range(3):
            try:
                return self._ask(message)
            except (OSError, EOFError):  # it died just now: it is started anew
                continue
        raise RunFailed("the fork server ends as soon as it is started; above it says why")

    def _ask(self, message: bytes) -> ForkedProcess:
        before = os.environ.get(PARENT)
        os.environ[PARENT] = str(os.getpid())
        try:
            status, orders = self._server.connect_to_new_process([])
        finally:
            if before is None:
                del os.environ[PARENT]
            else:
                os.environ[PARENT] = before
        try:
            with os.fdopen(orders, "wb") as pipe:
                pipe.write(message)
            return ForkedProcess(status)
        except (OSError, EOFError):
            os.close(status)
            raise


@cache
def trial_server(program: TrialProgram) -> TrialServer:
    """Return this process's server for a program; it ends with the process."""
    return TrialServer(program)


def _exit_code(stop: SystemExit) -> int:
    """Return the code that an interpreter would exit with."""
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code
    print(stop.code, file=sys.stderr)
    return 1
