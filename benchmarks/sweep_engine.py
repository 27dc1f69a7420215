"""The sweep engine's figures: `make bench` prints them and writes reports/bench/sweep-engine.*."""

import json
import time
from collections.abc import Callable

from benchmarks.machine import machine
from benchmarks.overhead import overhead
from benchmarks.polling import polling
from benchmarks.recording import recording
from benchmarks.scaling import FIGURES
from benchmarks.studies import studies
from benchmarks.tables import Table, console
from benchmarks.utilisation import utilisation

MEASURED: tuple[Callable[[], Table], ...] = (overhead, utilisation, studies, recording, polling)


def main() -> None:
    """Measure one thing after the other, show each at once, and write them all."""
    terminal = console()
    tables = [machine()]
    tables[0].show(terminal)
    for measure in MEASURED:
        began = time.monotonic()
        terminal.print(f"measuring: {measure.__name__}")
        tables.append(measure())
        tables[-1].show(terminal)
        terminal.print(f"{measure.__name__} took {time.monotonic() - began:.0f} s\n")
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    records = {table.name: table.records() for table in tables}
    FIGURES.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    page = FIGURES.with_suffix(".md")
    sections = "\n\n".join(table.markdown() for table in tables)
    page.write_text(f"# The sweep engine in figures\n\nBy `make bench`.\n\n{sections}\n")
    terminal.print(f"written: {page}, {FIGURES.name}")


if __name__ == "__main__":
    main()
