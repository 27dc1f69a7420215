import pytest
from small_runs import write_table


def pytest_collection_finish(session):
    """Say plainly that there is nothing to test on, instead of skipping all of it."""
    if any(item.get_closest_marker("gpu") for item in session.items):
        import torch

        if not torch.cuda.is_available():
            pytest.exit(f"no GPU is here that torch {torch.__version__} can use", returncode=2)


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "table.npy")


@pytest.fixture
def runs_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))
    return tmp_path / "runs"
