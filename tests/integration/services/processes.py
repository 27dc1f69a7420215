"""Starting a service so that it ends with us, and waiting for it."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def start(command: Sequence[str], *, log: Path, **options: Any) -> "subprocess.Popen[bytes]":
    """Start a service that the kernel kills when this process is gone.

    The kernel watches the starting thread, not the process: start services in the main thread.

    Args:
        command: the program and its arguments.
        log: where its output is added.
        **options: more of `subprocess.Popen`, such as `user` and `env`.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Of two threads' locks this takes none: it is one system call.
            preexec_fn=lambda: _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509
            **options,
        )


def end(process: "subprocess.Popen[bytes]", how: signal.Signals = signal.SIGTERM) -> None:
    """Ask a service to end; after 30 seconds, end it and what it started."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Say whether something answers on this port of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(
    condition: Callable[[], bool], what: str, *, seconds: float = 60, log: Path | None = None
) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it did not within `seconds`; the message ends with the log's last lines.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:] if log is not None else ""
            raise TimeoutError(f"{what} not within {seconds:g} s\n{tail}")
        time.sleep(0.05)
