"""What 10,000 runs in the record cost whoever reads it: `make bench` writes reports/bench/record.*.

Each reading is a process of its own, as a person starts it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.machine import machine
from benchmarks.scaling import FIGURES
from benchmarks.services import mlflow_server, postgres
from benchmarks.sweeps import own_home
from benchmarks.synthetic_runs import fill
from benchmarks.tables import Cell, Table, console
from flowbench.database import schema_url

RUNS = 10_000
NEW = 10
LOOK_SECONDS = 0.02
SWEEP = "s001"
PAGE = FIGURES.with_name("record.md")
COLUMNS = ("record", "what", "seconds", "processor seconds", "MiB")
NOTE = (
    "Some 50 metrics, 32 parameters and 33 tags a run, and 4 curves of 20 epochs; 504 runs a sweep."
    " Commands are timed from their start, with Python's and the libraries' loading; the readings"
    " of MLflow without it. MiB: the most that the process took, libraries included. A local"
    " database that nobody wrote is not asked. The report is of what the mirror has: its time is"
    " that of its figures."
)


def record_size(runs: int = RUNS) -> Table:
    """Read a record of so many runs in each kind of database, and by way of a server."""
    rows: list[tuple[Cell, ...]] = []
    with own_home() as directory, postgres() as database:
        sqlite = f"sqlite:///{directory / 'record.db'}"
        fill(sqlite, directory / "artifacts", range(runs))
        rows.append(("SQLite", "mlflow.search_runs", *_child("search_runs", sqlite)))
        rows += _readings("SQLite", sqlite, directory / "artifacts", runs)
        with mlflow_server(directory, sqlite) as server, _new_home():
            rows += [("MLflow server", *row) for row in _synchronisations(server)]
        if database is not None:
            url, files = schema_url(database, "mlflow"), directory / "more artifacts"
            fill(url, files, range(runs))
            rows += _readings("PostgreSQL", url, files, runs)
    return Table("record", f"Reading a record of {runs:,} runs", COLUMNS, rows, NOTE)


def _readings(name: str, uri: str, artifacts: Path, runs: int) -> Iterator[tuple[Cell, ...]]:
    yield from ((name, *row) for row in _synchronisations(uri))
    fill(uri, artifacts, range(runs, runs + NEW))
    yield (name, f"synchronise: {NEW} new runs", *_child("synchronise", uri))
    for command in (["compare"], ["compare", SWEEP], ["report"], ["report", SWEEP]):
        what = " ".join(["flowbench", *command])
        options = ["--tracking-uri", uri]
        yield (name, what, *_measured(["-m", "flowbench.cli", *command, *options])[1:])


def _synchronisations(uri: str) -> Iterator[tuple[Cell, ...]]:
    yield ("synchronise: the first time", *_child("synchronise", uri))
    time.sleep(3)  # a file that was just written says nothing about a second writing
    yield ("synchronise: nothing new", *_child("synchronise", uri))


def _child(reading: str, uri: str) -> tuple[Cell, ...]:
    """Time a reading inside a new process."""
    said, _, _, memory = _measured(["-m", "benchmarks.record_size", reading, uri])
    return (*json.loads(said.splitlines()[-1]), memory)


def _measured(arguments: Sequence[str]) -> tuple[str, float, float, float]:
    """Run Python; return what it says, seconds, seconds of processors, and MiB."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        child = subprocess.Popen([sys.executable, *arguments], stdout=out)  # noqa: S603
        memory, ended = 0.0, 0
        while not ended:
            time.sleep(LOOK_SECONDS)
            memory = max(memory, _most_memory(child.pid))
            ended, status, used = os.wait4(child.pid, os.WNOHANG)
        seconds = time.perf_counter() - began
        if status:
            raise RuntimeError(f"{' '.join(arguments)}: {os.waitstatus_to_exitcode(status)}")
        out.seek(0)
        return out.read(), seconds, used.ru_utime + used.ru_stime, memory


def _most_memory(pid: int) -> float:
    """Return the most that a process has taken, in MiB.

    What `wait4` says of it begins with what its parent took.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) / 2**10
    return 0.0  # it has ended, and is only waited for


@contextmanager
def _new_home() -> Iterator[None]:
    """Keep the mirror of the same runs by another way apart."""
    kept = os.environ["FLOWBENCH_HOME"]
    with tempfile.TemporaryDirectory() as directory:
        os.environ["FLOWBENCH_HOME"] = directory
        try:
            yield
        finally:
            os.environ["FLOWBENCH_HOME"] = kept


def read(reading: str, uri: str) -> tuple[float, float]:
    """Read the record in this process; return seconds, and seconds of processors."""
    import mlflow

    from flowbench.tracking import schema
    from flowbench.tracking.mirror import Mirror
    from flowbench.tracking.store import connect

    connect(uri)
    mlflow.set_tracking_uri(uri)
    process = psutil.Process()
    before, began = process.cpu_times(), time.perf_counter()
    if reading == "synchronise":
        Mirror(uri).synchronise(lambda *_: None)
    else:
        mlflow.search_runs(experiment_names=[schema.EXPERIMENT], max_results=2 * RUNS)
    after, seconds = process.cpu_times(), time.perf_counter() - began
    return seconds, after.user - before.user + after.system - before.system


def main() -> None:
    """Measure, show, and write it."""
    terminal = console()
    tables = [machine(), record_size()]
    for table in tables:
        table.show(terminal)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    records = {table.name: table.records() for table in tables}
    PAGE.with_suffix(".json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    sections = "\n\n".join(table.markdown() for table in tables)
    PAGE.write_text(f"# The record in figures\n\nBy `make bench`.\n\n{sections}\n")
    terminal.print(f"written: {PAGE}, {PAGE.with_suffix('.json').name}")


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(read(sys.argv[1], sys.argv[2])))
    else:
        main()
