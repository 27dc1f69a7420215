import numpy as np
import pytest
import torch
from small_runs import write_table

from flowbench.data.module import open_data
from flowbench.families.registry import create
from flowbench.spec.run import DataSpec


@pytest.fixture(autouse=True)
def runs_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def table_file(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "table.npy", rows=2000)


@pytest.fixture(scope="session")
def table(table_file):
    """200 held-out rows of three correlated, skewed columns."""
    return open_data(DataSpec(path=str(table_file)), 0)


@pytest.fixture(scope="session")
def digits():
    return open_data(DataSpec(name="digits"), 0)


@pytest.fixture(scope="session")
def moons():
    return open_data(DataSpec(name="moons", train_size=2000), 0)


@pytest.fixture(scope="session")
def conditional(tmp_path_factory):
    """A table of two columns at a context of one, which moves the density."""
    x = np.random.default_rng(3).normal(size=(400, 3))
    x[:, 1] += 3 * x[:, 0]
    np.savetxt(
        file := tmp_path_factory.mktemp("conditional") / "rows.csv",
        x,
        delimiter=",",
        header="given,a,b",
        comments="",
    )
    return open_data(DataSpec(path=str(file), context=["given"]), 0)


@pytest.fixture
def flow_for():
    """Build a flow for a data set and move its parameters away from where they start."""

    def build(data, name, spread=0.1, **hyperparameters):
        torch.manual_seed(0)
        flow = create(
            name,
            data.info.event_shape,
            preprocess=data.preprocess(),
            context_size=data.info.context_size,
            **hyperparameters,
        )
        batch = next(data.batches("train", 256))
        flow.initialise(batch.x, batch.context)
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.add_(spread * torch.randn_like(parameter))
        flow.after_step()
        return flow.to(data.dtype).eval()

    return build
