"""An MLflow server that can be killed and comes back at the same address."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from services.processes import end, free_port, start, wait_until

ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # 2 processes instead of 10
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}


class MlflowServer:
    """`mlflow server` with one worker on the loopback address.

    Args:
        path: an existing directory for its log, its artifacts and, where no other is given, its
            database.
        database: SQLAlchemy's address of its database.
    """

    def __init__(self, path: Path, database: str | None = None) -> None:
        self.database = database or f"sqlite:///{path / 'mlflow.db'}"
        self.artifacts = path / "artifacts"
        self.log = path / "mlflow-server.log"
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server, at the same address each time, and wait until it answers."""
        options = {
            "--host": "127.0.0.1",
            "--port": str(self.port),
            "--workers": "1",
            "--backend-store-uri": self.database,
            "--artifacts-destination": str(self.artifacts),
        }
        arguments = [word for option in options.items() for word in option]
        self._process = start(
            [sys.executable, "-m", "mlflow", "server", *arguments],
            log=self.log,
            env={**os.environ, **ENVIRONMENT},
        )
        wait_until(self._healthy, "MLflow answers", seconds=120, log=self.log)

    def stop(self) -> None:
        """Stop the server and its worker."""
        if self._process is not None:
            end(self._process)

    def kill(self) -> None:
        """End the server and its worker at once, as an accident would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _healthy(self) -> bool:
        try:
            with urlopen(f"{self.uri}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False
