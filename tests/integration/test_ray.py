"""Sweeps on a real Ray cluster: nodes and processes are lost, drivers are killed, no trial is."""

import subprocess
import sys

import psutil
import pytest
from on_clusters import check_end, goes_on_from, hit, leaders, survive_the_driver, training
from real_sweeps import FAMILIES, RealSweep, was_lost

from flowbench.errors import InputError
from flowbench.spec.sweep import Resources
from flowbench.sweep.launchers import open_launcher

pytestmark = pytest.mark.integration

BUDGET = {"unit": "epochs", "per_trial": 240}
"""Long enough that two trials that start together train together, on a fast machine too."""

LEFT = """
import ray
ray.init(logging_level="ERROR", log_to_driver=False)
groups = ray.util.placement_group_table().values()
print([group["name"] for group in groups if group["state"] != "REMOVED"])
"""


@pytest.fixture
def new_sweep(ray_cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))
    for name, value in ray_cluster.environment.items():
        monkeypatch.setenv(name, value)

    def new_sweep(name, trials, **resources):
        return RealSweep(
            tmp_path / "runs",
            name,
            families={"nice": FAMILIES["nice"]},
            budget=BUDGET | {"trials": trials},
            resources={"engine": "ray", **resources},
        )

    return new_sweep


def reserved():
    """Return the names of the placement groups that the cluster still keeps."""
    done = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def node_of(leader: psutil.Process) -> psutil.Process:
    """Return the node that a leader's actor belongs to."""
    return leader.parent().parent()


def test_a_sweep_outlives_a_node_and_its_driver(ray_cluster, new_sweep):
    sweep = new_sweep("alone", trials=3, slots=2)
    sweep.run()
    sweep.until(lambda: len(training(sweep)) == 2)
    both = training(sweep)
    ray_cluster.kill_node(2)
    sweep.until(lambda: any(was_lost(attempt) for attempt in both))
    ray_cluster.add_node(2)
    adopted = survive_the_driver(sweep)
    check_end(sweep)

    lost = [attempt for attempt in both if was_lost(attempt)]
    assert len(lost) == 1
    goes_on_from(lost[0], sweep)
    # The trial went on without a driver, and the next one took its result.
    assert adopted.result().outcome == "completed"
    assert sweep.runs()[adopted.path.parent.name].attempts()[-1].path == adopted.path
    assert reserved() == "[]"


def test_two_ranks_on_two_nodes_outlive_the_loss_of_one(ray_cluster, new_sweep):
    sweep = new_sweep("spread", trials=1, devices_per_trial=2, nodes_per_trial=2)
    sweep.run()
    nodes = []

    def kill_a_rank(attempt):
        found = leaders(sweep, attempt)
        nodes.append({node_of(leader).pid for leader in found})
        found[1].children()[0].kill()

    lost = hit(sweep, kill_a_rank)
    check_end(sweep)

    assert len(nodes[-1]) == 2
    goes_on_from(lost, sweep)
    assert reserved() == "[]"


def test_a_stopped_sweep_leaves_nothing_in_the_cluster(new_sweep):
    sweep = new_sweep("stopped", trials=3, slots=3)
    sweep.run()
    sweep.until(lambda: bool(training(sweep)))
    sweep.driver.terminate()
    assert sweep.end() == 143, sweep.said()
    assert sweep.orphans() == []
    assert reserved() == "[]"


def test_a_missing_cluster_is_said_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match="engine = 'ray': no Ray cluster answers here"):
        open_launcher(Resources(engine="ray"))
