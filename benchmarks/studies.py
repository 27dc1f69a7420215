"""Time per ask and per tell, and the driver's memory, in a search of thousands of finished trials.

The driver is a process of its own: what it asks of the storage first, and what it keeps in memory,
is what a driver that resumes a long sweep asks and keeps.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import psutil

from benchmarks.finished_trials import fill
from benchmarks.services import postgres
from benchmarks.sweeps import own_home
from benchmarks.tables import Cell, Table, console
from flowbench.run_directory import TrialResult, home
from flowbench.spec.sweep import SweepSpec
from flowbench.sweep.phases import SweepPlan
from flowbench.sweep.storage import Storage
from flowbench.tracking.record import open_recorder
from flowbench.tracking.writer import RecordWriter

FINISHED = 5000
ASKS = 20
NOTE = (
    "A sweep's plan with its leases, study and specifications; medians of {asks} trials in a row,"
    " and at 0 finished trials. Five searched keys, one of them conditional. SQLite is in WAL mode,"
    " TPE grouped. MiB: the driver's memory, and what the finished trials add to it. Opened: the"
    " first look at all of them, after a resume."
)


def studies(finished: int = FINISHED, asks: int = ASKS) -> Table:
    """Measure each sampler on SQLite, and on PostgreSQL where it is installed."""
    rows: list[tuple[Cell, ...]] = []
    with postgres() as database:
        for name, url in (("SQLite", None), ("PostgreSQL", database)):
            if name == "PostgreSQL" and url is None:
                continue
            with own_home(url):
                for sampler in ("random", "tpe"):
                    few = _drive(sampler, 0, asks)
                    many = _drive(sampler, finished, asks)
                    more = f"{many['MiB']:.0f} (+{many['MiB'] - few['MiB']:.0f})"
                    pace = 1 / (many["ask"] + many["tell"])
                    cells = (few["ask"], few["tell"], many["ask"], many["tell"], pace)
                    rows.append((name, sampler, *cells, more, many["opened"]))
    columns = (
        "storage", "sampler", "ask at 0", "tell at 0", "ask", "tell", "pairs/s", "MiB", "opened",
    )  # fmt: skip
    title = f"A driver's calls at {finished:,} finished trials of one search, in seconds"
    return Table("studies", title, columns, rows, NOTE.format(asks=asks))


def _drive(sampler: str, finished: int, asks: int) -> dict[str, float]:
    """Measure in a process of its own, which has not seen the trials made."""
    fill(Storage(), _sweep(sampler, finished, asks), finished)
    command = [sys.executable, "-m", "benchmarks.studies", sampler, str(finished), str(asks)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def measure(sampler: str, finished: int, asks: int) -> dict[str, float]:
    """Open a search of so many trials as a driver does, ask and tell; return the figures."""
    sweep = _sweep(sampler, finished, asks)
    storage = Storage()
    with storage.leases(sweep.name) as leases:
        record = RecordWriter(open_recorder())  # not started: what it sends is measured elsewhere
        began = time.perf_counter()
        plan = SweepPlan(
            sweep, home(), storage.studies(), leases=leases, record=record, defaults={}
        )
        assert plan.known == finished  # which looks at all of them
        opened = time.perf_counter() - began
        asking, telling = [], []
        for number in range(asks):
            seconds, work = _timed(plan.next)
            if work is None:
                raise RuntimeError("the search had no trial to give")
            asking.append(seconds)
            metrics = {"val/bits_per_dim": 2 + number / asks}
            result = TrialResult(outcome="completed", metrics=metrics, epochs=1)
            telling.append(_timed(lambda w=work, r=result: plan.finished(w, r))[0])  # type: ignore[misc]
    memory = psutil.Process().memory_info().rss / 2**20
    return {"ask": median(asking), "tell": median(telling), "opened": opened, "MiB": memory}


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    answer = call()
    return time.perf_counter() - began, answer


def _sweep(sampler: str, finished: int, asks: int) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": f"{sampler}-{finished}",
            "data": [{"name": "moons"}],
            "search": {
                "training.learning_rate": {"log": [1e-4, 1e-2]},
                "training.weight_decay": {"log": [1e-6, 1e-2]},
            },
            "families": {
                "realnvp": {
                    "search": {
                        "family.depth": {"int": [2, 16]},
                        "family.network": ["mlp", "conv"],
                        "family.hidden": {
                            "choice": [[64], [128, 128]],
                            "when": {"family.network": "mlp"},
                        },
                    }
                }
            },
            "sampler": sampler,
            "budget": {"unit": "epochs", "per_trial": 1, "trials": finished + asks},
        }
    )


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
    else:
        studies().show(console())
