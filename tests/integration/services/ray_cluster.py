"""A Ray cluster on this machine, whose nodes come and go."""

import os
import shutil
import tempfile
from typing import Any, Self

ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""No telemetry; and a task that asks for no GPU leaves `CUDA_VISIBLE_DEVICES` as it is."""

HEARTBEATS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 4,
}
"""A lost node is known after 2 seconds; by default it takes half a minute."""

OBJECT_STORE = 80 * 2**20
"""Bytes, near Ray's minimum: trials exchange files, not objects."""


class RayCluster:
    """One-CPU nodes on loopback addresses, the first of them the head.

    Node k (from 1) has the address 127.0.0.(k + 1), as Ray takes 127.0.0.1 for a wish to use the
    machine's outer address; and one unit of the resource `node<k>`, to send a task there.

    Args:
        nodes: how many there are at first.
    """

    def __init__(self, nodes: int = 2) -> None:
        # Ray's usual place keeps every session. A short name: sockets lie below it.
        self._path = tempfile.mkdtemp(prefix="ray-")
        os.environ.update({**ENVIRONMENT, "RAY_TMPDIR": self._path})
        from ray.cluster_utils import Cluster

        self._cluster = Cluster()
        self._nodes: dict[int, Any] = {}
        for number in range(1, nodes + 1):
            self.add_node(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs for `ray.init()` to find this cluster."""
        ours = {"RAY_TMPDIR": self._path, "RAY_ADDRESS": self._cluster.address}
        return {**ENVIRONMENT, **ours}

    def connect(self) -> None:
        """Make this process a driver of the cluster."""
        import ray

        ray.init(
            address=self._cluster.address,
            _node_ip_address="127.0.0.2",
            log_to_driver=False,
            logging_level="ERROR",
        )
        self._cluster.wait_for_nodes()

    def add_node(self, number: int) -> None:
        """Start a node, the first as the head, and wait until the head knows it."""
        options: dict[str, Any] = {
            "node_ip_address": f"127.0.0.{number + 1}",
            "num_cpus": 1,
            "num_gpus": 0,
            "resources": {f"node{number}": 1},
            "object_store_memory": OBJECT_STORE,
            "include_dashboard": False,
        }
        if not self._nodes:
            options["_system_config"] = HEARTBEATS
        self._nodes[number] = self._cluster.add_node(**options)

    def kill_node(self, number: int) -> None:
        """End a node and its workers without a word, as a power cut would."""
        self._cluster.remove_node(self._nodes.pop(number), allow_graceful=False)

    def stop(self) -> None:
        """Disconnect this process where it is a driver, and end every node."""
        import ray

        ray.shutdown()
        self._cluster.shutdown()
        os.environ.pop("RAY_TMPDIR", None)
        shutil.rmtree(self._path, ignore_errors=True)  # the last processes may still write logs
