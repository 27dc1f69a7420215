"""How fast the dashboard answers with 10,000 runs: `make bench` writes reports/bench/dashboard.*.

It is asked over HTTP, as a browser asks it.
"""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.machine import machine
from benchmarks.scaling import FIGURES
from benchmarks.services import postgres
from benchmarks.sweeps import own_home
from benchmarks.synthetic_runs import fill
from benchmarks.tables import Cell, Table, console
from flowbench.dashboard.views.registry import VIEWS
from flowbench.database import schema_url

RUNS = 10_000
SWEEP = "?sweep=s001"
RUN = "?run=s001.glow.digits.confirm-0"
OTHER = "&run=s001.nice.digits.confirm-0"
ASKED_AGAIN = 0.25
PAGE = FIGURES.with_name("dashboard.md")
COLUMNS = ("record", "address", "first answer, s", "complete after, s", "again, s", "kB")
NOTE = (
    "First answer: what a page waits for; where a view takes longer than half a second it is made"
    " in the background, and the page shows that, or what it showed before. Complete: when the"
    " whole view was there, asked for every quarter of a second. Again: the same address once more."
)

KEYS = ("id", "property", "value")
Outputs = list[tuple[Any, str]]
Answer = tuple[float, bytes]
"""Seconds, and what was said."""


def dashboard(runs: int = RUNS) -> Table:
    """Ask every view of records of so many runs."""
    rows: list[tuple[Cell, ...]] = []
    with own_home() as directory, postgres() as database:
        sqlite = f"sqlite:///{directory / 'record.db'}"
        fill(sqlite, directory / "artifacts", range(runs))
        rows += [("SQLite", *row) for row in _answers(sqlite)]
        if database is not None:
            url = schema_url(database, "mlflow")
            fill(url, directory / "more artifacts", range(runs))
            rows += [("PostgreSQL", *row) for row in _answers(url)]
    return Table("dashboard", f"The dashboard with {runs:,} runs", COLUMNS, rows, NOTE)


def addresses() -> list[tuple[str, str]]:
    """Return what is asked for, as path and search: every view, of all sweeps and of one."""
    named = {"run": [RUN], "compare": ["", RUN + OTHER], "live": [""]}
    return [(f"/{name}", search) for name in VIEWS for search in named.get(name, ["", SWEEP])]


def _answers(uri: str) -> Iterator[tuple[Cell, ...]]:
    with _served(uri) as base:
        began = time.perf_counter()
        while "reading" in _tick(base):
            time.sleep(ASKED_AGAIN)
        yield ("the first reading of the record", None, time.perf_counter() - began, None, None)
        for path, search in addresses():
            first, content = _show(base, path, search)
            began = time.perf_counter() - first
            while b"being worked out" in content:
                time.sleep(ASKED_AGAIN)
                _, content = _show(base, path, search)
            complete = time.perf_counter() - began
            again, content = _show(base, path, search)
            if b"could not be made" in content:
                raise RuntimeError(f"{path}{search}: {content.decode()}")
            yield (path + search, first, complete, again, len(content) / 1e3)
        first, content = _sorted_rows(base)
        yield ("100 rows of /runs, sorted and filtered", first, first, None, len(content) / 1e3)


@contextmanager
def _served(uri: str) -> Iterator[str]:
    command = [sys.executable, "-m", "flowbench.cli", "dashboard", "--port", "0"]
    server = subprocess.Popen(  # noqa: S603 - our own program
        [*command, "--tracking-uri", uri], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        yield server.stdout.readline().removeprefix("dashboard: ").strip()
    finally:
        server.terminate()
        server.wait()


def _tick(base: str) -> str:
    outputs: Outputs = [("version", "data"), ("record", "children")]
    inputs = [("clock", "n_intervals", 1)]
    states = [("address", "pathname", "/"), ("address", "search", ""), ("drawn", "data", "")]
    return _called(base, outputs, inputs, states)[1].decode()


def _show(base: str, path: str, search: str) -> Answer:
    outputs: list[tuple[Any, str]] = [
        ("view", "children"),
        ("drawn", "data"),
        ("navigation", "children"),
    ]
    inputs = [("address", "pathname", path), ("address", "search", search), ("version", "data", "")]
    return _called(base, outputs, inputs, [("drawn", "data", ""), [], []])


def _sorted_rows(base: str) -> Answer:
    grid = {"grid": "runs"}
    condition = {"family": {"filterType": "text", "type": "contains", "filter": "l"}}
    request = {
        "startRow": 0, "endRow": 100, "filterModel": condition,
        "sortModel": [{"colId": "val_bits_per_dim", "sort": "desc"}],
    }  # fmt: skip
    states = [("address", "pathname", "/runs"), ("address", "search", "")]
    inputs = [(grid, "getRowsRequest", request)]
    return _called(base, [(grid, "getRowsResponse")], inputs, states)


def _called(base: str, outputs: Outputs, inputs: Any, states: Any) -> Answer:
    """Ask as Dash's page does; a state may be a list: of all components of a kind, here none."""

    def entry(given: Any) -> Any:
        return given if isinstance(given, list) else dict(zip(KEYS, given, strict=True))

    names = [f"{_name(component)}.{name}" for component, name in outputs]
    listed = [{"id": component, "property": name} for component, name in outputs]
    body = {
        "output": f"..{'...'.join(names)}.." if len(names) > 1 else names[0],
        "outputs": listed if len(names) > 1 else listed[0],
        "inputs": [entry(given) for given in inputs],
        "state": [entry(given) for given in states],
        "changedPropIds": [f"{_name(inputs[0][0])}.{inputs[0][1]}"],
    }
    question = urllib.request.Request(  # noqa: S310 - our own server
        f"{base}/_dash-update-component", json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    began = time.perf_counter()
    with urllib.request.urlopen(question) as answer:  # noqa: S310 - our own server
        content = answer.read()
    return time.perf_counter() - began, content


def _name(component: Any) -> str:
    """Return a component's name as Dash writes it: JSON where it has parts."""
    if isinstance(component, dict):
        return json.dumps(component, sort_keys=True, separators=(",", ":"))
    return str(component)


def main() -> None:
    """Measure, show, and write it."""
    terminal = console()
    tables = [machine(), dashboard()]
    for table in tables:
        table.show(terminal)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    records = {table.name: table.records() for table in tables}
    PAGE.with_suffix(".json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    sections = "\n\n".join(table.markdown() for table in tables)
    PAGE.write_text(f"# The dashboard in figures\n\nBy `make bench`.\n\n{sections}\n")
    terminal.print(f"written: {PAGE}, {PAGE.with_suffix('.json').name}")


if __name__ == "__main__":
    main()
