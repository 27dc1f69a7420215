"""Seconds from ask to tell of a trial whose training is one step, and where they go.

Trials come from the fork server and, beside them, from fresh interpreters: one process and two
ranks of each in every round, so that whatever else the machine does is shared by all.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from benchmarks.sweeps import Stopwatch, own_home, small_sweep, stopwatch
from benchmarks.tables import Table, console, spread
from flowbench.run_directory import RunDirectory
from flowbench.sweep.launchers.local import LocalLauncher

ROUNDS = 5
ROWS = 64
NOTE = (
    "An isolated trial of one training step, everything else as always: data, flow, Lightning's"
    " Trainer, validation, checkpoint, measures, result. Started: until the trial's first word."
    " Measured: data and flow, the step, the measures. Ended: until Optuna is told. Medians of"
    f" {ROUNDS} interleaved rounds."
)


@dataclass(frozen=True)
class Way:
    """How a trial's processes are started."""

    ranks: int
    fresh: bool

    @property
    def words(self) -> str:
        return f"{'one process' if self.ranks == 1 else f'{self.ranks} ranks'}"


def overhead(rounds: int = ROUNDS) -> Table:
    """Measure each way, a trial a round, after one trial that is not counted."""
    ways = [Way(ranks, fresh) for ranks in (1, 2) for fresh in (False, True)]
    with own_home(), ExitStack() as stack:
        launchers = {way: LocalLauncher(1, way.ranks, fresh_interpreters=way.fresh) for way in ways}
        watches = {}
        for way in ways:
            # Two ranks on a machine of one GPU share it, which NCCL refuses.
            shared = len(launchers[way].slots[0].devices) == 1 < way.ranks
            sweep = small_sweep(
                f"ranks-{way.ranks}-{'fresh' if way.fresh else 'forked'}",
                trials=rounds + 1,
                devices=way.ranks,
                training={"batch_size": ROWS, "backend": "gloo" if shared else "auto"},
                rows=ROWS,
            )
            watches[way] = stack.enter_context(stopwatch(sweep))
        for _ in range(rounds + 1):
            for way in ways:
                watches[way].go(launchers[way], 1)
        return _table({way: _phases(watches[way]) for way in ways})


Phases = tuple[float, float, float]


def _phases(watch: Stopwatch) -> list[Phases]:
    """Return how long each trial but the first took to start, to do its work, and to end."""
    return [_phases_of(watch, run) for run in watch.runs[1:]]


def _phases_of(watch: Stopwatch, run: RunDirectory) -> Phases:
    events = run.attempts()[-1].events()[0]
    first, last = (float(event["time"]) for event in (events[0], events[-1]))
    return first - watch.asked[run.id], last - first, watch.told[run.id] - last


def _table(measured: dict[Way, list[Phases]]) -> Table:
    rows: list[tuple[str | float, ...]] = []
    for ranks in (1, 2):
        forked, fresh = (measured[Way(ranks, kind)] for kind in (False, True))
        for way, phases in ((Way(ranks, False), forked), (Way(ranks, True), fresh)):
            totals = [sum(times) for times in phases]
            parts = [median(part) for part in zip(*phases, strict=True)]
            ratio = median(totals) / median(sum(times) for times in forked)
            start = "fresh interpreter" if way.fresh else "fork server"
            rows.append((way.words, start, median(totals), spread(totals), *parts, ratio))
    columns = ("trial", "from", "seconds", "range", "started", "measured", "ended", "ratio")
    return Table("overhead", "Seconds per trial from ask to tell", columns, rows, NOTE)


if __name__ == "__main__":
    overhead().show(console())
