"""Trials as jobs of a Slurm cluster, one each, submitted by submitit.

What the cluster asks of every job (partition, account, time limit, kind of GPU) is said by Slurm's
own variables, such as `SBATCH_PARTITION`, in the environment of the driver. No job is started again
by Slurm: a lost one gets a new attempt by the driver, which knows its checkpoint.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flowbench.errors import InputError
from flowbench.run_directory import PARENT, AttemptDirectory, RunDirectory
from flowbench.spec.sweep import Resources
from flowbench.sweep.launchers.base import Lease
from flowbench.sweep.launchers.cluster import LateResult, Need, required
from flowbench.sweep.launchers.elsewhere import end_elsewhere
from flowbench.sweep.launchers.forkserver import TrialProgram
from flowbench.sweep.launchers.slurm_queue import GONE, WAITING, JobState, Queue, last_line

LINGER_SECONDS = 10.0
"""Time that a job has to end by itself once its trial's result is there."""

FIRST_PORT, PORTS = 20_000, 10_000
"""Where the leaders of a job meet: a port of its first node, by the job's number. These are below
the ports that a machine hands out by itself."""


class SlurmJob:
    """A trial as a job."""

    def __init__(self, queue: Queue, number: str, attempt: AttemptDirectory | None = None) -> None:
        self.number = number
        self._queue = queue
        self._result = LateResult(attempt)
        self._asked_before = queue.asked
        """Answers to later questions list the job, if the controller knows it."""
        self._state = JobState("PENDING")
        self._looked_for_result = queue.answered
        self._result_since: float | None = None
        self._code: int | None = None

    def running(self) -> bool:
        return self.state().state not in WAITING

    def exit_code(self) -> int | None:
        if self._code is None:
            self._code = self._judge(self.state())
        return self._code

    def _judge(self, state: JobState) -> int | None:
        """Judge the trial by its result first: one node's leader may outlive the trial's end."""
        if state.ended:
            return self._result.code(0 if self._result.seen else state.exit_code)
        if self._result_since is not None:
            return 0 if time.monotonic() - self._result_since > LINGER_SECONDS else None
        if self._looked_for_result != self._queue.answered:  # not ten times a second
            self._looked_for_result = self._queue.answered
            self._result_since = time.monotonic() if self._result.seen else None
        return None

    def out_of_memory(self) -> bool:
        return self.state().state == "OUT_OF_MEMORY"

    def show_stacks(self) -> None:
        self._cancel("--signal=USR1")

    def terminate(self) -> None:
        self._cancel()

    def kill(self) -> None:
        if not self.state().ended:
            self._cancel("--signal=KILL", "--full", "--state=RUNNING")
            self._cancel()

    def state(self) -> JobState:
        """Return what is known of the job; once it has ended, for good."""
        if not self._state.ended:
            known = self._queue.jobs().get(self.number)
            if known is not None:
                self._state = known
            elif self._queue.answered > self._asked_before:
                self._state = GONE
        return self._state

    def _cancel(self, *options: str) -> None:
        """Signal the job; one that has ended meanwhile is left alone."""
        subprocess.run(["scancel", *options, self.number], capture_output=True, check=False)  # noqa: S603, S607


class SlurmLauncher:
    """Runs each trial as a job of its own, on as many nodes as it is spread over.

    Args:
        resources: how many jobs there may be at once, and what each needs.
        program: what is run.
    """

    def __init__(self, resources: Resources, program: TrialProgram | None = None) -> None:
        self._submitit = required("submitit", "slurm")
        self.resources = resources
        self.program = program or TrialProgram()
        self.queue = Queue()
        try:
            self.queue.look()
            self._gpus = _has_gpus()
        except FileNotFoundError as error:
            raise InputError(
                f"resources.engine = 'slurm': this machine has no {error.filename}; the driver runs"
                " where jobs are submitted"
            ) from None
        self._jobs: list[SlurmJob] = []

    def has_room(self) -> bool:
        self._jobs = [job for job in self._jobs if job.exit_code() is None]
        self.queue.jobs()
        return self.queue.answers and len(self._jobs) < self.resources.slots

    def start(self, run: RunDirectory, attempt: AttemptDirectory) -> SlurmJob:
        training, nodes = run.spec().training, self.resources.nodes_per_trial
        need = Need.of(training, nodes, gpus_here=self._gpus)
        arguments = [str(run.path), "--attempt", str(attempt.number)]
        number = self._submit(run.id, need, arguments, attempt.log, str(attempt.path))
        host = socket.gethostname()
        Lease(engine="slurm", host=host, handle=number, started=time.time()).write(attempt)
        return self._followed(number, attempt)

    def adopt(self, run: RunDirectory, attempt: AttemptDirectory) -> SlurmJob | None:
        """Follow a job that still waits or runs, by its name where it has no lease yet."""
        end_elsewhere(run, attempt, "slurm")
        for number, job in self.queue.look().items():
            if job.comment == str(attempt.path) and not job.ended:
                return self._followed(number, attempt)
        return None

    def start_measuring(self, runs: Sequence[RunDirectory], log: Path) -> SlurmJob:
        """Measure on a node that runs nothing else meanwhile."""
        need = Need.of_measuring(runs[0].spec().training, gpus_here=self._gpus)
        name, mark = f"{log.parent.name}.speed", str(log)
        for number, job in self.queue.look().items():  # an earlier driver's
            if job.comment == mark and not job.ended:
                SlurmJob(self.queue, number).kill()
        arguments = ["--speed", *(str(run.path) for run in runs)]
        return SlurmJob(self.queue, self._submit(name, need, arguments, log, mark, exclusive=True))

    def _followed(self, number: str, attempt: AttemptDirectory) -> SlurmJob:
        job = SlurmJob(self.queue, number, attempt)
        self._jobs.append(job)
        return job

    def _submit(
        self,
        name: str,
        need: Need,
        arguments: Sequence[str],
        log: Path,
        mark: str,
        **more: Any,
    ) -> str:
        """Submit a job with one task a node; return its number."""
        executor = self._submitit.SlurmExecutor(log.parent / "slurm")
        executor.update_parameters(
            job_name=name,
            comment=mark,
            nodes=need.nodes,
            ntasks_per_node=1,
            cpus_per_task=need.cpus,
            gpus_per_node=need.gpus or None,
            time=None,  # the partition's, or SBATCH_TIMELIMIT
            stderr_to_stdout=True,
            additional_parameters={"no-requeue": True},
            # Since 22.05 `srun` no longer takes the number of cores from the job.
            srun_args=[
                f"--output={log}",
                "--open-mode=append",
                f"--cpus-per-task={need.cpus}",
                "--kill-on-bad-exit=1",
            ],
            **more,
        )
        try:
            with _outside_of_jobs():
                job = executor.submit(lead_node, self.program, arguments, need.environment())
        except self._submitit.core.utils.FailedJobError as error:
            said = last_line(str(error))
            raise InputError(
                f"resources.engine = 'slurm': sbatch refused the job of {name}: {said}"
            ) from None
        return str(job.job_id)


def lead_node(
    program: TrialProgram, arguments: Sequence[str], environment: Mapping[str, str]
) -> None:
    """Be one node's leader: the task of a job."""
    # Slurm ends the trial with its job; submitit's signal before a time limit is of no use to it.
    os.environ.pop(PARENT, None)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    os.environ.update(environment)
    nodes = int(os.environ["SLURM_NNODES"])
    place = []
    if nodes > 1:
        port = FIRST_PORT + int(os.environ["SLURM_JOB_ID"]) % PORTS
        # `srun` was called on the first node.
        meeting = f"{os.environ['SLURM_LAUNCH_NODE_IPADDR']}:{port}"
        rank = os.environ["SLURM_NODEID"]
        place = ["--nodes", str(nodes), "--node-rank", rank, "--rendezvous", meeting]
    sys.exit(program.run([*arguments, *place]))


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Hide the job that this driver may itself be part of: `sbatch` would take over its size."""
    hidden = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name.startswith("SLURM_") and name != "SLURM_CONF"
    }
    try:
        yield
    finally:
        os.environ.update(hidden)


def _has_gpus() -> bool:
    """Say whether nodes that jobs are sent to have GPUs."""
    partition = os.environ.get("SBATCH_PARTITION")
    where = [f"--partition={partition}"] if partition else []
    listed = subprocess.run(  # noqa: S603
        ["sinfo", "--noheader", "--format=%G", *where],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return "gpu" in listed.stdout
