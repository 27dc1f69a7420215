"""Real services, started once and shared by the integration tests that need them."""

import os
import secrets
from collections.abc import Iterator

import pytest
from services.mlflow_server import MlflowServer
from services.postgres import Postgres
from services.ray_cluster import RayCluster
from services.slurm import Slurm
from services.tmpfs import SmallDisk


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture
def database(postgres, tmp_path, monkeypatch) -> str:
    """A new database that drivers share, and a new directory of runs: their addresses are set."""
    name = f"flowbench_{secrets.token_hex(4)}"
    with postgres.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = f"postgresql://flowbench@127.0.0.1:{postgres.port}/{name}"
    monkeypatch.setenv("FLOWBENCH_STORAGE", url)
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))
    return url


@pytest.fixture
def mlflow_server(tmp_path) -> Iterator[MlflowServer]:
    with MlflowServer(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    if os.geteuid() != 0:
        pytest.skip("munge and Slurm's daemons are started as users of their own: root only")
    with Slurm(nodes=2) as cluster, pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        yield cluster


@pytest.fixture
def ray_cluster() -> Iterator[RayCluster]:
    with RayCluster(nodes=2) as cluster:
        yield cluster


@pytest.fixture
def small_disk(tmp_path) -> Iterator[SmallDisk]:
    if os.geteuid() != 0:
        pytest.skip("only root mounts a file system")
    with SmallDisk(tmp_path / "small", megabytes=4) as disk:
        yield disk
