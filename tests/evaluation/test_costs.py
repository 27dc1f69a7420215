import pytest
import torch
from planted import Affine, Linear, given

from flowbench.data.batch import Batch
from flowbench.evaluation import measure_speed, timing
from flowbench.evaluation.costs import density
from flowbench.evaluation.flops import flops_of
from flowbench.evaluation.memory import peak_memory_of
from flowbench.evaluation.training_step import TrainingStep, training_batch
from flowbench.families.foreign import ForeignFlow
from flowbench.spec.metrics import by_name
from flowbench.spec.run import EvaluationSpec

CPU = torch.device("cpu")
FLOAT = 4
SPEC = EvaluationSpec(speed_batches=(1, 64), protocol="full")


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0.02)


def test_a_linear_layer_takes_two_operations_a_weight_and_twice_as_many_more_for_gradients():
    m, n, batch = 30, 70, 11
    layer = torch.nn.Linear(m, n)
    x = torch.randn(batch, m, requires_grad=True)
    assert flops_of(lambda: layer(x)) == 2 * m * n * batch
    assert flops_of(lambda: layer(x).sum().backward()) == 3 * 2 * m * n * batch


def test_a_convolution_takes_two_operations_a_weight_and_pixel():
    layer = torch.nn.Conv2d(3, 5, 3, padding=1)
    image = torch.randn(2, 3, 8, 8)
    assert flops_of(lambda: layer(image)) == 2 * (3 * 5 * 9) * 64 * 2


def test_products_with_vectors_count_as_well():
    matrix, vector, start = torch.randn(6, 9), torch.randn(9), torch.randn(6)
    assert flops_of(lambda: matrix @ vector) == 2 * 6 * 9
    assert flops_of(lambda: torch.addmv(start, matrix, vector)) == 2 * 6 * 9
    assert flops_of(lambda: vector @ vector) == 2 * 9
    assert flops_of(matrix.exp) == 0


def test_the_peak_is_what_lives_at_once_and_not_what_was_there_before():
    x = torch.randn(1000)

    def chain():  # never more than two results at a time
        y = x
        for _ in range(10):
            y = y * 2
        return y

    def fan():
        return [x * i for i in range(10)]

    assert peak_memory_of(lambda: x.view(10, 100).T, CPU) == 0
    assert peak_memory_of(lambda: x.add_(1), CPU) == 0
    assert peak_memory_of(chain, CPU) == 2 * 1000 * FLOAT
    assert peak_memory_of(fan, CPU) == 10 * 1000 * FLOAT


def test_the_peak_of_a_network_is_that_of_torchs_own_allocator():
    network = torch.nn.Sequential(
        torch.nn.Linear(20, 500), torch.nn.ReLU(), torch.nn.Linear(500, 20)
    )
    x = torch.randn(64, 20)

    def step():
        network(x).sum().backward()

    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        step()
    allocations = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    allocations.sort(key=lambda event: event.start_ns())
    held = torch.tensor([event.nbytes() for event in allocations]).cumsum(0)
    network.zero_grad(set_to_none=True)
    assert peak_memory_of(step, CPU) == int(held.max()) > 64 * 500 * FLOAT


def test_a_training_step_lowers_the_loss_of_a_copy_and_leaves_the_model(table):
    flow = Affine(table)
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    batch = training_batch(flow, table)
    assert len(batch) == table.batch_size
    step = TrainingStep(flow, batch)
    with torch.no_grad():
        start = step.flow(batch.x).mean()
    for _ in range(20):
        step()
    with torch.no_grad():
        assert step.flow(batch.x).mean() > start
    assert not flow.training
    assert all(torch.equal(before[name], value) for name, value in flow.state_dict().items())


def test_a_first_step_holds_gradients_and_two_moments_beside_its_activations():
    dim, rows = 200, 8
    data = given(torch.randn(rows, dim).numpy())
    flow = Linear(data, torch.eye(dim).numpy())
    x = next(data.batches("train", rows)).x
    step = TrainingStep(flow, Batch(x, torch.arange(rows)))
    matrix = dim * dim * FLOAT
    peak = peak_memory_of(step, CPU)
    # slogdet keeps an LU factorisation and two of its results of the same size.
    assert 3 * matrix <= peak <= 8 * matrix


def test_the_costs_of_a_flow_are_measured_under_documented_names(table, flow_for):
    flow = flow_for(table, "realnvp", depth=2, hidden=(8,))
    found = measure_speed(flow, SPEC, table)
    assert set(found.metrics) <= set(by_name())
    costs = ("density/", "training/", "memory/", "flops/")
    promised = [
        name
        for name, metric in by_name().items()
        if name.startswith(costs) and metric.protocol == "full" and "b1024" not in name
    ]
    assert len(promised) == 14
    assert set(promised) <= set(found.metrics)
    assert all(found.metrics[name] > 0 for name in promised if not name.endswith("_iqr"))
    assert found.labels["training_batch"] == str(table.batch_size)
    rate = found.metrics["density/b64/points_per_second"]
    assert rate == pytest.approx(64e3 / found.metrics["density/b64/latency_ms"])


def test_operations_are_those_of_the_conditioners(table, flow_for):
    flow = flow_for(table, "realnvp", depth=2, hidden=(8, 16))
    found = measure_speed(flow, SPEC, table).metrics
    layers = [module for module in flow.modules() if isinstance(module, torch.nn.Linear)]
    products = 2 * sum(layer.in_features * layer.out_features for layer in layers)
    assert found["flops/density"] == products
    assert found["flops/sampling"] == products
    # A step also takes gradients of weights and of inputs; the first layer's inputs need none in
    # the coupling that stands next to the data.
    assert 2 * products < found["flops/training_step"] <= 3 * products


def test_a_quick_measurement_has_no_costs(table, flow_for):
    flow = flow_for(table, "realnvp", depth=1, hidden=(4,))
    found = measure_speed(flow, EvaluationSpec(speed_batches=(1,)), table)
    assert {name.split("/")[0] for name in found.metrics} == {"sampling"}


def test_a_density_is_timed_on_held_out_rows_at_their_contexts(conditional, flow_for):
    flow = flow_for(conditional, "realnvp", depth=1, hidden=(4,))
    count = conditional.info.sizes["validation"]
    with torch.no_grad():
        values = density(flow, conditional, "validation", count + 3)()
        batch = next(conditional.batches("validation"))
        expected = flow.log_prob(batch.x, batch.context)
    torch.testing.assert_close(values[:count], expected)
    torch.testing.assert_close(values[count:], expected[:3])


def test_an_iterative_flow_is_counted_at_its_stated_error_and_trained_with_its_noise(
    digits, flow_for
):
    flow = flow_for(digits, "residual", depth=1, hidden=(4,), log_det="roulette")
    found = measure_speed(flow, EvaluationSpec(speed_batches=(1,), protocol="full"), digits)
    once = found.metrics["flops/sampling"]
    assert once > 0
    for block in flow.blocks():
        block.max_iterations = 2
    cut = measure_speed(flow, EvaluationSpec(speed_batches=(1,), protocol="full"), digits)
    assert "flops/sampling" not in cut.metrics  # its error is not the stated one
    assert "memory/sampling_mib" not in cut.metrics
    assert cut.metrics["training/step_ms"] > 0


class Plain(torch.nn.Module):
    """A user's flow with a density and samples alone."""

    def __init__(self, event_shape):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(event_shape))

    def log_prob(self, x):
        return -0.5 * (x - self.mean).square().sum(1)

    def sample(self, n):
        return self.mean + torch.randn(n, *self.mean.shape)


def test_a_users_flow_is_costed_too(table):
    flow = ForeignFlow(Plain, (3,), preprocess=table.preprocess())
    found = measure_speed(flow, SPEC, table).metrics
    assert found["training/step_ms"] > 0
    assert found["flops/density"] == 0
    assert found["memory/density_mib"] > 0
