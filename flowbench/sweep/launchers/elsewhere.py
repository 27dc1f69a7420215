"""Ending what an earlier driver started on another engine than this one's."""

from flowbench.errors import InputError
from flowbench.run_directory import AttemptDirectory, RunDirectory
from flowbench.spec.sweep import Engine, Resources
from flowbench.sweep.launchers.base import Lease, end_leftover


def end_elsewhere(run: RunDirectory, attempt: AttemptDirectory, engine: Engine) -> None:
    """End an attempt that runs on another engine; a cluster that is gone runs nothing.

    Args:
        run: the run.
        attempt: one that an earlier driver started.
        engine: the one that trials run on now.
    """
    lease = Lease.read(attempt)
    if lease is None or lease.engine == engine:
        return
    if lease.engine == "local":
        end_leftover(attempt)
        return
    from flowbench.sweep.launchers import open_launcher

    try:
        job = open_launcher(Resources(engine=lease.engine)).adopt(run, attempt)
    except InputError:
        return
    if job is not None:
        job.kill()
