"""A Slurm cluster on this machine: one controller, nodes that are daemons of their own."""

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import psutil

from services.processes import end, free_port, start, wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")

# No cgroups, no accounting: they need what a container has not, or a database more.
CONFIGURATION = """\
ClusterName=flowbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={path}/munge/socket
StateSaveLocation={path}/state
SlurmdSpoolDir={path}/%n
SlurmctldPidFile={path}/slurmctld.pid
SlurmdPidFile={path}/%n.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1
ReturnToService=2
SlurmdTimeout=5
KillWait=3
PartitionName=main Nodes=ALL Default=YES State=UP MaxTime=60
"""


class Slurm:
    """A cluster of nodes `node1`, `node2`, ..., started by root.

    A job that asks for nothing gets one core; `KillWait` lies between its SIGTERM and SIGKILL.

    Args:
        nodes: how many nodes this machine plays.
        cpus: the cores of each, which may be more than there are.
    """

    def __init__(self, nodes: int = 1, cpus: int = 2) -> None:
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            raise FileNotFoundError(f"{', '.join(missing)} not found: make integration-packages")
        # Not under pytest's directory: that is closed to munge's user.
        self.path = Path(tempfile.mkdtemp(prefix="flowbench-slurm-"))
        self.path.chmod(0o755)
        self.nodes = [f"node{number + 1}" for number in range(nodes)]
        self._cpus = cpus
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find this cluster."""
        return {"SLURM_CONF": str(self.path / "slurm.conf")}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.path)

    def start(self) -> None:
        """Start munge, the controller and the nodes, and wait until every node is idle."""
        self._configure()
        self._start_munge()
        self._start("slurmctld", "slurmctld", "-D", "-c")
        for node in self.nodes:
            self._start(node, "slurmd", "-D", "-N", node)
        self.wait_idle(self.nodes)

    def stop(self) -> None:
        """End every job, then the daemons."""
        self.call("scancel", "--signal=KILL", "--full", "--state=RUNNING", "--partition=main")
        self.call("scancel", "--partition=main")
        for node in self.nodes:
            self.kill_node(node)
        for name in ("slurmctld", "munge"):
            if name in self._running:
                end(self._running.pop(name))

    def call(self, *command: str) -> str:
        """Run one of Slurm's programs; return what it prints."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True
        )
        return done.stdout.strip()

    def job_state(self, job: str) -> str:
        """Return the controller's word for a job, known for five minutes after its end."""
        return self.call("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}")

    def kill_node(self, node: str) -> None:
        """End a node and all that runs on it, as a power cut would."""
        daemon = self._running.pop(node, None)
        if daemon is not None:
            daemon.kill()
            daemon.wait()
        for process in self._on_node(node):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def start_node(self, node: str) -> None:
        """Start a node that was killed, and wait until it is back in service."""
        self._start(node, "slurmd", "-D", "-N", node)
        self.wait_idle([node])

    def wait_idle(self, nodes: list[str]) -> None:
        """Wait until nodes have nothing to do."""
        names = ",".join(nodes)

        def idle() -> bool:
            return self.call("sinfo", "--noheader", "--format=%T", f"--nodes={names}") == "idle"

        wait_until(idle, f"Slurm's {names} idle", log=self.path / "slurmctld.log")

    def _configure(self) -> None:
        host = socket.gethostname().partition(".")[0]
        lines = CONFIGURATION.format(
            host=host, port=free_port(), user=pwd.getpwuid(os.geteuid()).pw_name, path=self.path
        )
        for node in self.nodes:
            where = f"NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()}"
            lines += f"NodeName={node} {where} CPUs={self._cpus}\n"
        (self.path / "slurm.conf").write_text(lines)
        (self.path / "state").mkdir()

    def _start_munge(self) -> None:
        user = pwd.getpwnam("munge")
        directory = self.path / "munge"
        directory.mkdir()
        key = directory / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        for owned in (directory, key):
            os.chown(owned, user.pw_uid, user.pw_gid)
        files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={directory / name}" for option, name in files.items()]
        self._running["munge"] = start(
            ["munged", "--foreground", f"--key-file={key}", *options],
            log=self.path / "munge.log",
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
        )
        wait_until((directory / "socket").exists, "munge answers", log=self.path / "munge.log")

    def _start(self, name: str, *command: str) -> None:
        environment = {**os.environ, **self.environment}
        log = self.path / f"{name}.log"
        self._running[name] = start(command, log=log, env=environment)

    def _on_node(self, node: str) -> list[psutil.Process]:
        """Return the tasks of a node and the step daemons above them."""
        here = {**self.environment, "SLURMD_NODENAME": node}
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                environment = process.environ()
                if all(environment.get(name) == value for name, value in here.items()):
                    parent = process.parent()
                    above = parent is not None and parent.name() == "slurmstepd"
                    found += [parent, process] if above else [process]
        return found
