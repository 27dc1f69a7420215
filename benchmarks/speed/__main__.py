"""`make bench`: measure, show each table at once, and write reports/bench/speed.{json,md}.

`--quick` takes small sizes and few rounds, to see that everything runs; it writes nothing.
"""

import argparse
import json
import time
from collections.abc import Callable

import torch

from benchmarks.machine import machine
from benchmarks.scaling import ROOT
from benchmarks.speed.architectures import glow, planar, realnvp, sylvester
from benchmarks.speed.fixed_points import fixed_points
from benchmarks.speed.log_det_cost import exponents, log_det_cost
from benchmarks.speed.memory_depth import draw, memory_depth
from benchmarks.speed.probes import probes
from benchmarks.speed.residual import residual
from benchmarks.speed.reversible_step import reversible_step
from benchmarks.speed.sampling_cost import sampling_cost
from benchmarks.speed.table import COLUMNS, Effort, rows
from benchmarks.speed.targets import targets
from benchmarks.tables import Table, console

FIGURES = ROOT / "reports/bench/speed.json"
THREADS = 1
"""Of each measurement: peers and FlowBench share a machine's cores alike."""

NOTE = (
    "Ratios, with 95 % intervals of the median over interleaved rounds, are to the networks alone"
    " with plain Adam, eager; of planar and Sylvester layers, which have none, to FlowBench."
    " Eager: plain Adam for all; fused: fused AdamW, which `training` takes; compiled:"
    " torch.compile and fused AdamW; without figures where a library's flow does not compile."
    " Architectures are equal, and weights too but where it says so: peers take FlowBench's bound"
    " of log-scales. FlowBench's networks alone: its own modules, which rectify in place and run"
    " images pixel by pixel. "
)


def main() -> None:
    """Measure one thing after the other, and write them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, nothing is written")
    quick: bool = parser.parse_args().quick
    torch.set_num_threads(THREADS)
    terminal = console()
    tables = [machine()]
    tables[0].show(terminal)
    for name, measure in measurements(quick).items():
        began = time.monotonic()
        terminal.print(f"measuring: {name}")
        for table in measure():
            tables.append(table)
            table.show(terminal)
        terminal.print(f"{name} took {time.monotonic() - began:.0f} s\n")
    if not quick:
        named = {table.name: table for table in tables}
        tables.insert(1, targets(named["architectures"], named["residual"]))
        tables[1].show(terminal)
        write(tables)
        terminal.print(f"written: {FIGURES.relative_to(ROOT)}")


def measurements(quick: bool) -> dict[str, Callable[[], list[Table]]]:
    """Return what is measured, by name."""
    return {
        "architectures": lambda: [architectures(quick)],
        "residual flow": lambda: residual(quick),
        "cost of the log-det": lambda: _with_exponents(log_det_cost(quick)),
        "cost of sampling": lambda: [sampling_cost(quick)],
        "fixed points": lambda: [fixed_points(quick)],
        "probes": lambda: [probes(quick)],
        "activations computed again": lambda: [reversible_step(quick)],
        "memory": lambda: [memory_depth(quick)],
    }


def architectures(quick: bool) -> Table:
    """Race all architectures but the residual flow."""
    effort = Effort(rounds=2, seconds=0.1, compiled=False) if quick else Effort()
    raced = (
        [realnvp(16, dim=8, depth=2, width=16), glow(side=8, depth=1, width=8, batch=4)]
        if quick
        else [realnvp(1024), realnvp(128), glow(), planar(), sylvester()]
    )
    found = [row for each in raced for row in rows(each, effort)]
    notes = " ".join(dict.fromkeys(each.note for each in raced))
    title = "Training step, log-density and sampling of equal architectures"
    return Table("architectures", title, COLUMNS, found, NOTE + notes)


def _with_exponents(table: Table) -> list[Table]:
    return [table, exponents(table)]


def write(tables: list[Table]) -> None:
    """Write the figures, the page, and what is drawn of them."""
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    records = {table.name: table.records() for table in tables}
    FIGURES.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    draw(next(table for table in tables if table.name == "memory"), FIGURES.parent / "memory.svg")
    sections = "\n\n".join(table.markdown() for table in tables)
    picture = "![Peak memory of a training step against depth](memory.svg)"
    page = f"# Speed in figures\n\nBy `make bench`.\n\n{sections}\n\n{picture}\n"
    FIGURES.with_suffix(".md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
