"""MLflow's own pages on a record: its server as a child that ends with us, however we end."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from flowbench.errors import InputError, RunFailed
from flowbench.run_directory import home
from flowbench.serving import address, listening
from flowbench.tracking.store import connect, exists

QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # 2 processes instead of 10, 0.5 GB for 2.3
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
STARTING_SECONDS = 120.0
ENDING_SECONDS = 10.0
BETWEEN_LOOKS = 0.1

WATCH = "import os, signal, sys; sys.stdin.read(); os.killpg(int(sys.argv[1]), signal.SIGKILL)"
"""A process that kills a group when the process that started it is gone."""


@contextmanager
def serving(tracking_uri: str, host: str, port: int) -> Iterator["MlflowServer"]:
    """Start MLflow's server on a database and wait until it answers.

    Args:
        tracking_uri: the database's address.
        host: where to listen.
        port: at which port; 0 for any that is free.

    Raises:
        InputError: if there is no such record, the port is taken or the address is not this
            machine's.
        RunFailed: if the server does not start.
    """
    if not exists(tracking_uri):
        raise InputError(f"{tracking_uri}: no such record; a run or a sweep makes it")
    with listening(host, port) as found:
        port = found.getsockname()[1]
    connect(tracking_uri)  # which makes or migrates the tables under our lock
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as directory:
        server = MlflowServer(tracking_uri, host, port, log.fileno(), Path(directory))
        try:
            if not server.answers_in(STARTING_SECONDS):
                log.seek(0)
                said = log.read().decode(errors="replace").strip().splitlines() or ["no word"]
                raise RunFailed(f"MLflow's server does not start: {said[-1]}")
            yield server
        finally:
            server.end()


class MlflowServer:
    """The processes of a server, in a session of their own.

    Args:
        tracking_uri: the database's address.
        host: where it listens.
        port: at which port.
        log: a file that it writes.
        directory: an empty one to run in: it would leave folders in the user's.
    """

    def __init__(self, tracking_uri: str, host: str, port: int, log: int, directory: Path) -> None:
        self.address = address(host, port)
        options = {
            "--host": host,
            "--port": str(port),
            "--workers": "1",
            "--default-artifact-root": (home() / "artifacts").as_uri(),
        }
        words = [word for option in options.items() for word in option]
        self._process = subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-m", "mlflow", "server", "--no-serve-artifacts", *words],
            # The address may have a password, and everybody may read a process's arguments.
            env={**os.environ, **QUIET, "MLFLOW_BACKEND_STORE_URI": tracking_uri},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory,
            start_new_session=True,
        )  # fmt: skip
        self._watch = subprocess.Popen(  # noqa: S603
            [sys.executable, "-S", "-c", WATCH, str(self._process.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is not for it
        )

    def answers_in(self, seconds: float) -> bool:
        """Wait until the server answers; return False if it ended or did not in time."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with urlopen(f"{self.address}/health", timeout=2):  # noqa: S310 - it is http
                    return True
            except (URLError, OSError):
                time.sleep(BETWEEN_LOOKS)
        return False

    def wait(self) -> None:
        """Wait until the server ends by itself."""
        self._process.wait()

    def end(self) -> None:
        """End the server and all that it started."""
        self._watch.kill()
        self._watch.communicate()
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + ENDING_SECONDS
        while self._signal(0) and time.monotonic() < deadline:
            self._process.poll()  # a dead child is in its group until it is asked
            time.sleep(BETWEEN_LOOKS)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: int) -> bool:
        """Send a signal to all processes; say whether there is one."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        return True
