"""Looking at trials that run on a cluster, all of whose nodes are played by this machine."""

import contextlib

import psutil
from real_sweeps import RealSweep, validations, was_lost

from flowbench.run_directory import AttemptDirectory


def training(sweep: RealSweep) -> list[AttemptDirectory]:
    """Return the attempts that have validated twice, and so kept a checkpoint, and not ended."""
    newest = [run.attempts()[-1] for run in sweep.runs().values() if run.attempts()]
    return [
        attempt
        for attempt in newest
        if len(validations(attempt)) > 1 and attempt.result() is None and not was_lost(attempt)
    ]


def leaders(sweep: RealSweep, attempt: AttemptDirectory) -> list[psutil.Process]:
    """Return the leaders of an attempt, in the order of their start."""
    there = {p.pid: p for p in sweep.processes() if _runs(p, attempt)}
    found = [process for process in there.values() if process.ppid() not in there]
    return sorted(found, key=lambda process: (process.create_time(), process.pid))


def _runs(process: psutil.Process, attempt: AttemptDirectory) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        program, *words = process.cmdline() or [""]
        line = " ".join(words)
        by_ray = f"flowbench.trial {attempt.path.parent} --attempt {attempt.number}"
        by_slurm = f"submitit.core._submit {attempt.path}/"
        return "python" in program and (by_ray in line or by_slurm in line)
    return False


def hit(sweep: RealSweep, what) -> AttemptDirectory:
    """Do something to an attempt in training that ends it; again where it ended just before."""
    while True:
        sweep.until(lambda: bool(training(sweep)))
        attempt = training(sweep)[0]
        try:
            what(attempt)
        except (psutil.NoSuchProcess, IndexError):
            continue
        sweep.until(lambda attempt=attempt: attempt.result() is not None or was_lost(attempt))
        if was_lost(attempt):
            return attempt


def survive_the_driver(sweep: RealSweep) -> AttemptDirectory:
    """Kill the driver while a trial trains, and go on; return that trial's attempt."""
    sweep.until(lambda: bool(training(sweep)))
    sweep.driver.kill()
    sweep.driver.wait()
    attempt = training(sweep)[0]
    assert leaders(sweep, attempt)
    sweep.resume()
    return attempt


def check_end(sweep: RealSweep) -> None:
    """Wait for the driver's good end: every account whole, and nothing left running."""
    assert sweep.end() == 0, sweep.said()
    assert sweep.orphans() == []
    assert sweep.disagreements() == []
    assert set(sweep.outcomes().values()) == {"completed"}


def goes_on_from(attempt: AttemptDirectory, sweep: RealSweep) -> None:
    """Check that an attempt that was lost was gone on with from its last checkpoint."""
    first, second = sweep.runs()[attempt.path.parent.name].attempts()[-2:]
    assert first.path == attempt.path
    assert validations(second)[0]["epoch"] > validations(first)[0]["epoch"]
