"""What is measured on a GPU: the numbers of a CPU, and the memory that its allocator states."""

import pytest
import torch

from flowbench.data.module import open_data
from flowbench.evaluation import evaluate, timing
from flowbench.evaluation.memory import peak_memory_of
from flowbench.families.registry import create
from flowbench.spec.metrics import by_name
from flowbench.spec.run import DataSpec, EvaluationSpec

pytestmark = pytest.mark.gpu

GPU = torch.device("cuda")
GRAIN = 512
"""Bytes that the allocator rounds up to."""


def test_the_peak_is_what_the_allocator_held_beside_what_was_there():
    x = torch.randn(1 << 20, device=GPU)
    peak_memory_of(lambda: x * 2, GPU)
    assert peak_memory_of(lambda: x.add_(1), GPU) == 0
    assert peak_memory_of(lambda: [x * i for i in range(5)], GPU) == 5 * 4 * (1 << 20)
    small = x[:3].clone()
    assert peak_memory_of(lambda: small * 2, GPU) == GRAIN


@pytest.mark.parametrize("family", ["realnvp", "residual"])
def test_the_full_protocol_gives_the_numbers_of_a_cpu(family, monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0.1)
    data = open_data(DataSpec(name="digits"), 0, dtype=torch.float64)
    torch.manual_seed(0)
    options = {"depth": 1, "hidden": (8,)}
    flow = create(family, data.info.event_shape, preprocess=data.preprocess(), **options)
    flow.double().initialise(next(data.batches("train", 256)).x)
    flow.eval()
    spec = EvaluationSpec(protocol="full", inversion_points=64, importance_draws=2)
    cpu = evaluate(flow, data, spec)
    gpu = evaluate(flow.to(GPU), data, spec)
    assert set(gpu.metrics) == set(cpu.metrics) <= set(by_name())
    assert gpu.labels["device"] == torch.cuda.get_device_name(0)
    for name in (
        "val/nats", "val/nats_iw", "jacobian/condition_max", "latent/ks_max", "flops/density",
    ):  # fmt: skip
        assert gpu.metrics[name] == pytest.approx(cpu.metrics[name], rel=1e-9)
    assert gpu.metrics["inversion/flow/xzx9/max"] < 1e-9
    assert gpu.metrics["jacobian/log_det_error_max"] < 1e-9
    assert all(
        gpu.metrics[f"memory/{name}_mib"] > 0 for name in ("sampling", "density", "training")
    )
