"""Trials on a Ray cluster: a detached actor on each node of a trial, in a placement group.

An actor is a node's leader's keeper: the leader is a process of its own, which dies with it. Ray
starts nothing again by itself: a trial whose node is lost gets a new attempt by the driver, which
knows its checkpoint. Detached, a trial outlives its driver, and the next one finds it by name.
"""

import logging
import signal
import socket
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from flowbench.errors import InputError
from flowbench.run_directory import AttemptDirectory, RunDirectory
from flowbench.spec.sweep import Resources
from flowbench.sweep.launchers.base import Lease
from flowbench.sweep.launchers.cluster import LateResult, Need, is_lost, required
from flowbench.sweep.launchers.elsewhere import end_elsewhere
from flowbench.sweep.launchers.forkserver import TrialProgram
from flowbench.sweep.launchers.ray_keeper import Keeper

NAMESPACE = "flowbench"
ADOPT_SECONDS = 30.0
"""How long an actor may take to say whether it has begun."""
FAILED = 1
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)


class RayJob:
    """A trial as a placement group, with an actor in each of its bundles.

    Args:
        ray: the package.
        group: the placement group.
        keepers: the actors, by the rank of their nodes.
        ends: what they will return at the end of their processes.
        attempt: where the result will be; None where there is none to wait for.
    """

    def __init__(
        self,
        ray: ModuleType,
        group: Any,
        keepers: Sequence[Any],
        ends: Sequence[Any],
        attempt: AttemptDirectory | None = None,
    ) -> None:
        self._ray = ray
        self._group, self._keepers, self._ends = group, keepers, ends
        self._begun = keepers[0].begun.remote()
        self._attempt = attempt
        self._result = LateResult(attempt)
        self._codes: dict[int, int] = {}
        self._out_of_memory = False
        self._code: int | None = None

    def running(self) -> bool:
        return bool(self._ray.wait([self._begun], timeout=0)[0])

    def exit_code(self) -> int | None:
        if self._code is None:
            self._code = self._judge()
        return self._code

    def _judge(self) -> int | None:
        """Judge by the first node's leader, unless one of them was lost."""
        ended, _ = self._ray.wait(list(self._ends), num_returns=len(self._ends), timeout=0)
        for rank, end in enumerate(self._ends):
            if end in ended and rank not in self._codes:
                self._codes[rank] = self._end(end)
        lost = next((code for code in self._codes.values() if is_lost(code)), None)
        if lost is not None:
            return lost
        return self._result.code(self._codes[0]) if 0 in self._codes else None

    def _end(self, end: Any) -> int:
        """Return the exit code of a node's leader; -SIGKILL's where its node or actor is lost."""
        errors = self._ray.exceptions
        try:
            code, short_of_memory = self._ray.get(end)
        except errors.RayTaskError as error:  # the keeper could not start it
            if self._attempt is not None:
                with self._attempt.log.open("a") as log:
                    print(error.cause, file=log)
            return FAILED
        except errors.RayError as error:
            self._out_of_memory |= isinstance(error, errors.OutOfMemoryError)
            return -signal.SIGKILL
        self._out_of_memory |= short_of_memory and code in KILLED
        return int(code)

    def out_of_memory(self) -> bool:
        return self._out_of_memory

    def show_stacks(self) -> None:
        self._signal(signal.SIGUSR1)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._ray.util.remove_placement_group(self._group)

    def _signal(self, number: signal.Signals) -> None:
        for keeper in self._keepers:
            keeper.signal.remote(int(number))


class RayLauncher:
    """Runs each trial in a placement group of its own; what finds no room yet waits in Ray.

    Args:
        resources: how many trials there may be at once, and what each needs.
        program: what is run.
    """

    def __init__(self, resources: Resources, program: TrialProgram | None = None) -> None:
        self._ray = required("ray", "ray")
        self.resources = resources
        self.program = program or TrialProgram()
        self._jobs: list[RayJob] = []
        if self._ray.is_initialized():
            return
        try:
            self._ray.init(
                address="auto",
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                "resources.engine = 'ray': no Ray cluster answers here; `ray start --head` starts"
                f" one, RAY_ADDRESS names another ({str(error).splitlines()[0]})"
            ) from None

    def has_room(self) -> bool:
        self._jobs = [job for job in self._jobs if job.exit_code() is None]
        return len(self._jobs) < self.resources.slots

    def start(self, run: RunDirectory, attempt: AttemptDirectory) -> RayJob:
        nodes = self.resources.nodes_per_trial
        need = Need.of(run.spec().training, nodes, gpus_here=self._has_gpus())
        name = str(attempt.path)
        group, keepers = self._place(need, name, lifetime="detached")
        host = socket.gethostname()
        Lease(engine="ray", host=host, handle=name, started=time.time()).write(attempt)
        arguments = [str(run.path), "--attempt", str(attempt.number)]
        ends = self._run(keepers, need, arguments, attempt.log)
        return self._followed(RayJob(self._ray, group, keepers, ends, attempt))

    def adopt(self, run: RunDirectory, attempt: AttemptDirectory) -> RayJob | None:
        """Follow a trial that has begun, by the name of its placement group."""
        end_elsewhere(run, attempt, "ray")
        name = str(attempt.path)
        try:
            group = self._ray.util.get_placement_group(name)
        except ValueError:
            return None
        try:
            keepers = [
                self._ray.get_actor(f"{name}#{rank}", namespace=NAMESPACE)
                for rank in range(group.bundle_count)
            ]
            begun = self._ray.get([k.begun.remote() for k in keepers], timeout=ADOPT_SECONDS)
        except (ValueError, self._ray.exceptions.RayError):  # an actor is gone, or not placed yet
            begun = [False]
        if not all(begun):
            self._ray.util.remove_placement_group(group)
            return None
        ends = [keeper.wait.remote() for keeper in keepers]
        return self._followed(RayJob(self._ray, group, keepers, ends, attempt))

    def start_measuring(self, runs: Sequence[RunDirectory], log: Path) -> RayJob:
        """Measure on a node whose cores are all reserved; it ends with this driver."""
        need = Need.of_measuring(runs[0].spec().training, gpus_here=self._has_gpus())
        group, keepers = self._place(need, f"{log}#{uuid.uuid4()}", cpus=self._whole_node(need))
        arguments = ["--speed", *(str(run.path) for run in runs)]
        return RayJob(self._ray, group, keepers, self._run(keepers, need, arguments, log))

    def _followed(self, job: RayJob) -> RayJob:
        self._jobs.append(job)
        return job

    def _place(
        self, need: Need, name: str, *, cpus: int | None = None, lifetime: str | None = None
    ) -> tuple[Any, list[Any]]:
        """Reserve room, each node's on a node of its own, and put an actor there."""
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        cpus = cpus or need.cpus
        bundle = {"CPU": cpus} | ({"GPU": need.gpus} if need.gpu else {})
        group = self._ray.util.placement_group(
            [bundle] * need.nodes,
            strategy="STRICT_SPREAD" if need.nodes > 1 else "PACK",
            name=name,
            lifetime=lifetime,
        )
        actor = self._ray.remote(Keeper)
        keepers = [
            actor.options(
                name=f"{name}#{rank}",
                namespace=NAMESPACE,
                lifetime=lifetime,
                num_cpus=cpus,
                num_gpus=need.gpus,
                max_restarts=0,
                scheduling_strategy=PlacementGroupSchedulingStrategy(group, rank),
            ).remote(rank)
            for rank in range(need.nodes)
        ]
        return group, keepers

    def _run(
        self, keepers: Sequence[Any], need: Need, arguments: Sequence[str], log: Path
    ) -> list[Any]:
        """Have each actor start its node's leader; the first says where they meet."""
        words = [*self.program.words, *arguments]
        if need.nodes == 1:
            meeting: Any = ""
            place: list[list[str]] = [[]]
            logs = [log]
        else:
            size = ["--nodes", str(need.nodes)]
            place = [[*size, "--node-rank", str(rank)] for rank in range(need.nodes)]
            logs = [log, *(log.with_name(f"{log.name}-{rank}") for rank in range(1, need.nodes))]
            meeting = keepers[0].meeting_point.remote()
        here = str(Path.cwd())
        return [
            keeper.run.remote([*words, *own], meeting, need.environment(), here, str(to))
            for keeper, own, to in zip(keepers, place, logs, strict=True)
        ]

    def _has_gpus(self) -> bool:
        return bool(self._ray.cluster_resources().get("GPU", 0))

    def _whole_node(self, need: Need) -> int:
        """Return the cores of the smallest node that will do."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        cores = [int(n.get("CPU", 0)) for n in nodes if n.get("GPU", 0) >= need.gpus]
        return min((n for n in cores if n >= need.cpus), default=need.cpus)
