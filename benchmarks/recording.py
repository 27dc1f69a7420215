"""Whole runs a second that the record takes: parameters, metrics, curves and files of each."""

import shutil
import time
from pathlib import Path

from benchmarks.services import mlflow_server, postgres
from benchmarks.sweeps import own_home, small_sweep, stopwatch
from benchmarks.tables import Cell, Table, console
from flowbench.database import schema_url
from flowbench.run_directory import RunDirectory
from flowbench.sweep.launchers.local import LocalLauncher
from flowbench.tracking.record import Recorder

RUNS = 40
NOTE = "One writer, as each driver has: {metrics} metrics and {files} files a run."


def recording(runs: int = RUNS) -> Table:
    """Train one run, and send copies of it to each kind of record."""
    rows: list[tuple[Cell, ...]] = []
    with own_home() as directory, postgres() as database:
        copies = _copies(_finished_run(), runs + 1)
        sqlite = f"sqlite:///{directory / 'record.db'}"
        rows.append(("SQLite", _runs_a_second(sqlite, directory / "sqlite", copies)))
        if database is not None:
            url = schema_url(database, "mlflow")
            rows.append(("PostgreSQL", _runs_a_second(url, directory / "postgres", copies)))
        with mlflow_server(directory) as server:
            rows.append(("MLflow server on SQLite", _runs_a_second(server, directory, copies)))
        result = copies[0].result()
        metrics = len(result.metrics) if result is not None else 0
        files = sum(path.is_file() for path in copies[0].path.rglob("*"))
    note = NOTE.format(metrics=metrics, files=files)
    return Table("recording", "Writing the record", ("record", "runs a second"), rows, note)


def _finished_run() -> RunDirectory:
    sweep = small_sweep("recorded", trials=1, training={"batch_size": 64}, rows=512)
    with stopwatch(sweep) as watch:
        watch.go(LocalLauncher(), 1)
    return watch.runs[0]


def _copies(run: RunDirectory, number: int) -> list[RunDirectory]:
    """Return copies of a run under other names, beside it."""
    places: list[Path] = [run.path.with_name(f"copy.{i:04d}") for i in range(number)]
    return [RunDirectory(Path(shutil.copytree(run.path, place))) for place in places]


def _runs_a_second(uri: str, artifacts: Path, runs: list[RunDirectory]) -> float:
    """Send the first run, which makes tables and caches, then time the others."""
    recorder = Recorder(uri, artifacts)
    first, *others = runs
    unsent = recorder.sync([first])
    began = time.perf_counter()
    unsent += recorder.sync(others)
    seconds = time.perf_counter() - began
    if unsent:
        raise RuntimeError(f"{uri} did not take {unsent} runs")
    return len(others) / seconds


if __name__ == "__main__":
    recording().show(console())
