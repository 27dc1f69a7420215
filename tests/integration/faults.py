"""Faults: each ends something of a running sweep by signal 9, and says what it hit."""

import psutil
from real_sweeps import RealSweep, was_lost

from flowbench.run_directory import AttemptDirectory


def kill_leader(sweep: RealSweep) -> AttemptDirectory:
    """Kill the leader of a trial in training: with one device, the whole trial."""
    return _hit(sweep, lambda leader: leader)


def kill_rank(sweep: RealSweep, number: int) -> AttemptDirectory:
    """Kill a rank of a trial in training."""
    return _hit(sweep, lambda leader: ranks(leader)[number])


def kill_fork_server(sweep: RealSweep) -> list[AttemptDirectory]:
    """Kill the fork server while trials train; return those."""
    while True:
        sweep.until(lambda: bool(sweep.training()))
        hit = [attempt for attempt, _ in sweep.training()]
        fork_server(sweep).kill()
        sweep.until(lambda hit=hit: all(_ended(attempt) for attempt in hit))
        if lost := [attempt for attempt in hit if was_lost(attempt)]:
            return lost


def kill_driver(sweep: RealSweep) -> None:
    """Kill the driver while trials train."""
    sweep.until(lambda: bool(sweep.training()))
    sweep.driver.kill()
    sweep.driver.wait()


def fork_server(sweep: RealSweep) -> psutil.Process:
    """Return the process that trials are forked from."""
    for process in psutil.Process(sweep.driver.pid).children():
        if any("multiprocessing.forkserver" in word for word in process.cmdline()):
            return process
    raise AssertionError("the driver has no fork server")


def ranks(leader: psutil.Process) -> list[psutil.Process]:
    """Return a leader's ranks in order: it forks them one after the other."""
    return sorted(leader.children(), key=lambda rank: (rank.create_time(), rank.pid))


def _hit(sweep, choose) -> AttemptDirectory:
    """Kill what is chosen of a trial; once more where the trial ended just before."""
    while True:
        victims = []
        sweep.until(lambda found=victims: found.extend(_victims(sweep)) or bool(found))
        attempt, leader = victims[0]
        try:
            choose(leader).kill()
        except (psutil.NoSuchProcess, IndexError):
            continue
        sweep.until(lambda attempt=attempt: _ended(attempt))
        if was_lost(attempt):
            return attempt


def _victims(sweep):
    """Return the trials in training that would come to a good end."""
    return [each for each in sweep.training() if "misbehaving" not in each[0].path.parent.name]


def _ended(attempt: AttemptDirectory) -> bool:
    return attempt.result() is not None or was_lost(attempt)
