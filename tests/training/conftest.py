import pytest
import torch
from small_runs import new_attempt

from flowbench.data.module import open_data
from flowbench.families.registry import create
from flowbench.training.fit import fit
from flowbench.training.placement import dtype


@pytest.fixture
def fitted(runs_home):
    """Fit a specification in this process; `change` may move the parameters first."""

    def run(spec, name="run", change=None):
        _, attempt = new_attempt(name, spec)
        torch.manual_seed(spec.model_seed)
        data = open_data(spec.data, spec.data_seed, dtype=dtype(spec.training))
        flow = create(
            spec.family.name,
            data.info.event_shape,
            preprocess=data.preprocess(),
            **spec.family.hyperparameters,
        )
        if change is not None:
            change(flow)
        return fit(flow, data, spec, attempt), attempt, data, flow

    return run
