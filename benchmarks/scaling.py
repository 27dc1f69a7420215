"""What limits 1,000 GPUs: computed from the measured figures, and written into docs/scaling.md."""

import json
from pathlib import Path
from typing import Any

from benchmarks.simulation import Engine, busy_share
from benchmarks.tables import Cell, Table, console

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "reports/bench/sweep-engine.json"
PAGE = ROOT / "docs/scaling.md"
BEGIN, END = "<!-- computed by benchmarks/scaling.py -->", "<!-- end of what is computed -->"

GPUS = 1000
SEARCHES = 12
"""Six families on two data sets."""
LENGTHS = {"10 s": 10.0, "1 min": 60.0, "10 min": 600.0, "1 h": 3600.0}
DRIVERS = {"SQLite": (1,), "PostgreSQL": (1, 4, 16)}

Figures = dict[str, list[dict[str, Any]]]


def limits(figures: Figures) -> Table:
    """Return how often each part can serve, and how long trials must be for 1,000 GPUs."""
    (polling,) = figures["polling"]
    rows: list[tuple[Cell, ...]] = []
    for study in figures["studies"]:
        rate = study["pairs/s"]
        rows.append((f"ask and tell, {study['storage']}, {study['sampler']}", rate, GPUS / rate))
    for record in figures["recording"]:
        rate = record["runs a second"]
        rows.append((f"MLflow: {record['record']}", rate, GPUS / rate))
    event = 1e-6 * polling["an event, us"]
    rows.append(("events of trials, written and read by one driver", 1 / event, GPUS * event))
    columns = ("what serves", "a second, in one driver", f"mean trial for {GPUS:,} GPUs, s")
    note = (
        f"{GPUS:,} GPUs whose trials last t seconds end {GPUS:,}/t trials a second. Asking and"
        " telling are at 5,000 finished trials in one search. Where runs end faster, the record"
        " falls behind, and the sweep does not wait for it."
    )
    return Table("limits", f"Rates, and the shortest trials that {GPUS:,} GPUs can have", columns,
                 rows, note)  # fmt: skip


def shares(figures: Figures) -> Table:
    """Simulate each storage with so many drivers, for trials of several lengths."""
    (polling,) = figures["polling"]
    follow = 1e-6 * polling["following a trial, us a round"]
    rows: list[tuple[Cell, ...]] = []
    for study in figures["studies"]:
        engine = Engine(study["ask"], study["tell"], follow)
        for drivers in DRIVERS[study["storage"]]:
            simulated = [
                busy_share(
                    engine, gpus=GPUS, drivers=drivers, searches=SEARCHES, trial_seconds=seconds
                )
                for seconds in LENGTHS.values()
            ]
            percent = [f"{100 * share:.0f} %" for share in simulated]
            rows.append((study["storage"], study["sampler"], str(drivers), *percent))
    note = (
        f"Simulated: {SEARCHES} searches with 5,000 finished trials each; a driver does one thing"
        " at a time, and one driver at a time asks in a search."
    )
    columns = ("storage", "sampler", "drivers", *(f"trials of {length}" for length in LENGTHS))
    return Table("shares", f"Share of {GPUS:,} GPUs' time that trials get", columns, rows, note)


def write_page(tables: list[Table]) -> None:
    """Put the tables into their place on the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    body = "\n\n".join(table.markdown() for table in tables)
    PAGE.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Compute, print, and write the page."""
    figures: Figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    tables = [limits(figures), shares(figures)]
    for table in tables:
        table.show(console())
    write_page(tables)
    print(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
