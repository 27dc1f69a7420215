"""Each service starts, does its work, breaks the way it is meant to break, and comes back."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from services.processes import listens, wait_until
from services.slurm import Slurm

pytestmark = pytest.mark.integration

T = TypeVar("T")


def patiently(call: Callable[[], T], seconds: float = 60) -> T:
    """Call Optuna until the database answers: what a client of a restarted server has to do."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import OperationalError, PendingRollbackError

    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except StorageInternalError as error:
            # Pending: `get_all_trials` asks twice in a transaction that the server's end broke.
            away = isinstance(error.__cause__, (OperationalError, PendingRollbackError))
            if not away or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def study_on(url: str, name: str):
    import optuna

    storage = optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    sampler = optuna.samplers.RandomSampler(seed=0)
    return optuna.create_study(storage=storage, study_name=name, sampler=sampler)


def test_optuna_and_mlflow_share_a_database_in_schemas_of_their_own(postgres, tmp_path):
    from mlflow import MlflowClient

    study = study_on(postgres.url("optuna"), "shared")
    client = MlflowClient(postgres.url("mlflow"))
    experiment = client.create_experiment("shared", artifact_location=tmp_path.as_uri())
    study.tell(study.ask(), 1.0)
    run = client.create_run(experiment).info.run_id
    client.log_metric(run, "value", 1.0)

    assert study.best_value == 1.0
    assert client.get_run(run).data.metrics == {"value": 1.0}
    with postgres.connect() as connection:
        owners = connection.execute(
            "SELECT schemaname FROM pg_tables WHERE tablename = 'alembic_version'"
        ).fetchall()
    assert sorted(owners) == [("mlflow",), ("optuna",)]


def test_idle_connections_outlive_a_crash_of_postgres(postgres, tmp_path):
    from mlflow import MlflowClient

    study = study_on(postgres.url("optuna"), "idle")
    client = MlflowClient(postgres.url("mlflow"))
    experiment = client.create_experiment("idle", artifact_location=tmp_path.as_uri())
    study.tell(study.ask(), 1.0)

    postgres.restart()

    study.tell(study.ask(), 0.5)
    run = client.create_run(experiment).info.run_id
    assert study.best_value == 0.5
    assert [found.info.run_id for found in client.search_runs([experiment])] == [run]


def test_a_trial_waits_for_postgres_to_come_back(postgres):
    study = study_on(postgres.url("optuna"), "away")
    told, stop = [], threading.Event()

    def work() -> None:
        while not stop.is_set():
            trial = patiently(study.ask)
            patiently(lambda trial=trial: trial.report(1.0, 0))
            # Told twice where the server went away between its commit and its answer.
            patiently(lambda trial=trial: study.tell(trial, 1.0, skip_if_finished=True))
            told.append(trial.number)

    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(3):  # in this thread: the server ends with the thread that starts it
        before = len(told)
        wait_until(lambda before=before: len(told) >= before + 5, "more trials")
        postgres.restart(away=0.5)
    stop.set()
    worker.join()

    states = {trial.number: trial.state.name for trial in study.get_trials()}
    assert len(told) == len(set(told)) >= 15
    assert {states[number] for number in told} == {"COMPLETE"}


def test_a_service_dies_with_the_process_that_started_it():
    program = (
        "import time\n"
        "from services.postgres import Postgres\n"
        "with Postgres() as server:\n"
        "    print(server.port, server.path, flush=True)\n"
        "    time.sleep(600)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    port, path = owner.stdout.readline().split()
    assert listens(int(port))

    owner.kill()
    owner.wait()

    wait_until(lambda: not listens(int(port)), "PostgreSQL gone", seconds=10)
    assert Path(path).name.startswith("flowbench-postgres-")
    subprocess.run(["rm", "-r", path], check=True)


def test_mlflow_server_comes_back_after_a_kill(mlflow_server, monkeypatch):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    client = MlflowClient(mlflow_server.uri)
    experiment = client.create_experiment("kept")
    run = client.create_run(experiment).info.run_id
    client.log_metric(run, "value", 1.0)

    mlflow_server.kill()
    with pytest.raises(MlflowException, match="failed with exception"):
        client.log_metric(run, "value", 2.0)
    mlflow_server.start()

    client.log_metric(run, "value", 3.0, step=1)
    assert [point.value for point in client.get_metric_history(run, "value")] == [1.0, 3.0]


def sleeper(path: Path) -> Callable[[], None]:
    """Return work that never ends by itself, and says in a file which process does it.

    A function of a function travels by value: a cluster's workers do not know this module.
    """

    def write_pid_and_sleep() -> None:
        path.write_text(str(os.getpid()))
        while True:
            time.sleep(0.1)

    return write_pid_and_sleep


def pid_in(path: Path) -> int:
    wait_until(lambda: path.is_file() and path.read_text() != "", f"{path.name} written")
    return int(path.read_text())


@pytest.fixture
def submit(slurm, tmp_path):
    """Submits a function through submitit."""
    from submitit import SlurmExecutor

    def submit(function: Callable, **parameters):
        executor = SlurmExecutor(tmp_path / "jobs")
        # Slurm would start a lost job again; that is the driver's to decide.
        kept = {"time": 5, "additional_parameters": {"no-requeue": True}}
        executor.update_parameters(**kept, **parameters)
        return executor.submit(function)

    return submit


def end_state(slurm: Slurm, job: str) -> str:
    live = ("", "PENDING", "CONFIGURING", "RUNNING", "COMPLETING")
    wait_until(lambda: slurm.job_state(job) not in live, f"the end of job {job}", seconds=90)
    return slurm.job_state(job)


def test_slurm_runs_a_function_and_one_of_two_tasks_over_both_nodes(submit):
    def rank_and_node() -> tuple[int, str]:
        return int(os.environ["SLURM_PROCID"]), os.environ["SLURMD_NODENAME"]

    assert submit(rank_and_node).result() == (0, "node1")
    both = submit(rank_and_node, nodes=2, ntasks_per_node=1)
    assert both.results() == [(0, "node1"), (1, "node2")]


def test_slurm_fails_a_job_whose_process_is_killed(slurm, submit, tmp_path):
    job = submit(sleeper(tmp_path / "pid"))
    os.kill(pid_in(tmp_path / "pid"), signal.SIGKILL)
    assert end_state(slurm, job.job_id) == "FAILED"
    # Without accounting submitit never learns it: its word is sacct's alone.
    assert not job.done(force_check=True)


def test_slurm_cancels_a_job(slurm, submit, tmp_path):
    job = submit(sleeper(tmp_path / "pid"))
    pid = pid_in(tmp_path / "pid")
    job.cancel()
    assert end_state(slurm, job.job_id) == "CANCELLED"
    assert not psutil.pid_exists(pid)


def test_slurm_gives_up_a_job_whose_node_is_lost_and_uses_the_node_again(slurm, submit, tmp_path):
    job = submit(sleeper(tmp_path / "pid"), nodelist="node2")
    pid = pid_in(tmp_path / "pid")
    slurm.kill_node("node2")
    wait_until(lambda: not psutil.pid_exists(pid), "the lost node's process gone")
    assert end_state(slurm, job.job_id) == "NODE_FAIL"

    slurm.start_node("node2")
    assert submit(lambda: os.environ["SLURMD_NODENAME"], nodelist="node2").result() == "node2"


def test_ray_spreads_over_nodes_and_reports_what_is_lost(ray_cluster, tmp_path):
    import ray
    from ray.exceptions import NodeDiedError, WorkerCrashedError
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    ray_cluster.connect()
    never_again = {"num_cpus": 1, "max_retries": 0}

    def node() -> str:
        return ray.get_runtime_context().get_node_id()

    group = placement_group([{"CPU": 1}, {"CPU": 1}], strategy="STRICT_SPREAD")
    ray.get(group.ready(), timeout=60)
    places = [PlacementGroupSchedulingStrategy(group, bundle) for bundle in (0, 1)]
    task = ray.remote(**never_again)(node)
    found = ray.get([task.options(scheduling_strategy=place).remote() for place in places])
    assert len(set(found)) == 2
    remove_placement_group(group)

    on_second = {"resources": {"node2": 1}}
    killed = ray.remote(**never_again, **on_second)(sleeper(tmp_path / "killed")).remote()
    os.kill(pid_in(tmp_path / "killed"), signal.SIGKILL)
    with pytest.raises(WorkerCrashedError):
        ray.get(killed, timeout=60)

    lost = ray.remote(**never_again, **on_second)(sleeper(tmp_path / "lost")).remote()
    pid = pid_in(tmp_path / "lost")
    ray_cluster.kill_node(2)
    with pytest.raises(NodeDiedError):
        ray.get(lost, timeout=60)
    wait_until(lambda: not psutil.pid_exists(pid), "the lost node's worker gone")

    ray_cluster.add_node(2)
    again = ray.remote(**never_again, **on_second)(node).remote()
    assert ray.get(again, timeout=60) not in found


def test_a_small_disk_fills_up_and_has_room_again(small_disk):
    small_disk.fill(leaving=2**16)
    (small_disk.path / "small").write_bytes(bytes(2**15))
    with pytest.raises(OSError, match="No space left") as caught:
        (small_disk.path / "large").write_bytes(bytes(2**20))
    assert caught.value.errno == errno.ENOSPC
    (small_disk.path / "large").unlink()

    small_disk.empty()
    (small_disk.path / "large").write_bytes(bytes(2**20))
