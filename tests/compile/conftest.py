import pytest
import torch
from torch._dynamo.utils import counters


@pytest.fixture
def programs():
    """Count the programs that torch makes from now on."""
    torch.compiler.reset()
    counters.clear()
    return lambda: counters["stats"]["unique_graphs"]
