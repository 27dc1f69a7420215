"""What it costs a driver to follow running trials: a look at each in every round of its loop."""

import time
from statistics import median

from benchmarks.sweeps import own_home, small_sweep
from benchmarks.tables import Table, console
from flowbench.run_directory import RunDirectory, Sign
from flowbench.spec.sweep import Resources
from flowbench.sweep.followed import FollowedTrial
from flowbench.sweep.work import Work
from flowbench.tracking.provenance import Provenance

TRIALS = 1000
ROUNDS = 20
NOTE = (
    "Following: new events, signs of life, limits. Event: a trial's line in its directory, written"
    " and read, on the file system of the temporary directory."
)


class Running:
    """A job that never ends."""

    def running(self) -> bool:
        return True

    def exit_code(self) -> None:
        return None

    def out_of_memory(self) -> bool:
        return False

    def show_stacks(self) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


def polling(trials: int = TRIALS, rounds: int = ROUNDS) -> Table:
    """Time rounds over running trials that say nothing, and rounds in which each says something."""
    with own_home() as home:
        followed = [_trial(RunDirectory(home / f"running.{n:04d}")) for n in range(trials)]
        silent, told = [], []
        for number in range(rounds):
            silent.append(_round(followed))
            began = time.perf_counter()
            for trial in followed:
                metrics = {"val/bits_per_dim": 2.0, "val/nats": 1.0}
                values = {"epoch": number, "step": number, "metrics": metrics}
                trial.attempt.append_event("validation", values)
            told.append(time.perf_counter() - began + _round(followed))
    row = (
        float(trials),
        1e6 * median(silent) / trials,
        1e6 * (median(told) - median(silent)) / trials,
    )
    columns = ("running trials", "following a trial, us a round", "an event, us")
    return Table("polling", "Following trials through their directories", columns, [row], NOTE)


def _trial(run: RunDirectory) -> FollowedTrial:
    sweep = small_sweep("running", trials=1, training={}, rows=64)
    (data,) = sweep.data
    spec = sweep.run_spec("planar", data, {}, model_seed=0, split="validation")
    attempt = run.attempt(0)
    attempt.create()
    attempt.write_sign(Sign(steps=1, batches=1))
    attempt.append_event("stage", {"stage": "training"})
    return FollowedTrial(Work(run, spec, Provenance()), attempt, Running(), Resources())


def _round(followed: list[FollowedTrial]) -> float:
    """Look at every trial as the driver's loop does; return the seconds it took."""
    began = time.perf_counter()
    for trial in followed:
        trial.job.exit_code()
        trial.new_events()
        trial.overdue()
    return time.perf_counter() - began


if __name__ == "__main__":
    polling().show(console())
