"""What FlowBench asks of itself, beside what it reached: multiples of the networks alone."""

from collections.abc import Iterable

from benchmarks.speed.contestant import OPERATIONS
from benchmarks.tables import Cell, Table

TARGETS = {
    ("RealNVP, D=64, 8 couplings, 2x128 MLP, batch 1024", "eager"): (1.15, 1.2, 1.2),
    ("RealNVP, D=64, 8 couplings, 2x128 MLP, batch 128", "eager"): (1.15, 1.3, 1.3),
    ("Glow, 1x28x28, 2 levels x 8 steps, width 64, batch 32", "eager"): (1.25, 1.2, 1.2),
    ("RealNVP, D=64, 8 couplings, 2x128 MLP, batch 1024", "compiled"): (0.95, 0.9, 0.9),
    ("RealNVP, D=64, 8 couplings, 2x128 MLP, batch 128", "compiled"): (0.75, 0.9, 0.9),
    ("Glow, 1x28x28, 2 levels x 8 steps, width 64, batch 32", "compiled"): (1.0, 1.0, 1.0),
}
"""Of a step, of log_prob and of a sample."""
RESIDUAL = {"training step": 4.0, "log-density": 12.0, "sample, worst error 0.0001": 12.0}
OURS, FLOORS = "FlowBench", ("networks alone", "FlowBench's networks alone")


def targets(architectures: Table, residual: Table) -> Table:
    """Set each target beside FlowBench's figure, the floor in the same mode, and the best peer's.

    Args:
        architectures: the races of coupling flows.
        residual: the race of residual flows.
    """
    rows: list[tuple[Cell, ...]] = []
    for (work, mode), asked in TARGETS.items():
        here = [r for r in architectures.records() if r["work"] == work and r["mode"] == mode]
        for operation, target in zip(OPERATIONS, asked, strict=True):
            known = {str(r["library"]): r[f"{operation}: ratio"] for r in here}
            rows.append(_row(work, operation, mode, target, known))
    for what, target in RESIDUAL.items():
        here = [r for r in residual.records() if str(r["what"]).startswith(what)]
        here = [r for r in here if "as evaluated" not in str(r["what"])]
        known = {str(r["library"]): r["ratio to networks alone"] for r in here}
        rows.append(_row("Residual flow", str(here[0]["what"]), "eager", target, known))
    columns = ("work", "what", "mode", "target", "FlowBench", "reached", "floor", "best peer")
    note = (
        "Multiples of the networks alone, eager. Floor: the networks alone in the same mode, the"
        " less of the two kinds."
    )
    return Table("targets", "Targets", columns, rows, note)


def _row(
    work: str, what: str, mode: str, target: float, known: dict[str, Cell]
) -> tuple[Cell, ...]:
    ours = _median(known[OURS])
    peers = {name: cell for name, cell in known.items() if name not in (OURS, *FLOORS)}
    floor = _least(known[name] for name in FLOORS if name in known)
    best = min(
        ((_median(cell), name) for name, cell in peers.items() if cell is not None), default=None
    )
    return (
        work, what, mode, target, ours, "yes" if ours <= target else "no", floor,
        None if best is None else f"{best[0]:.2f} {best[1]}",
    )  # fmt: skip


def _least(cells: Iterable[Cell]) -> float | None:
    return min((_median(cell) for cell in cells if cell is not None), default=None)


def _median(cell: Cell) -> float:
    """Return the median of a ratio as it is written, `1.17 (1.15-1.19)`."""
    return float(str(cell).partition(" ")[0])
