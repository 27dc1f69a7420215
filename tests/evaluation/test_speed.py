from copy import deepcopy

import pytest
import torch

from flowbench.bijections.residual import ResidualBlock
from flowbench.errors import InputError
from flowbench.evaluation import matched, measure_speed, timing
from flowbench.evaluation.matched import TOLERANCES, prepare_pools, tolerance
from flowbench.evaluation.measuring import SEED
from flowbench.families.foreign import ForeignFlow
from flowbench.spec.run import EvaluationSpec

SPEC = EvaluationSpec(speed_batches=(1, 16))


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0.02)


@pytest.fixture
def residual(table, flow_for):
    return flow_for(table, "residual", depth=4, hidden=(16,), lipschitz=0.9)


def errors(flow, z, setting):
    """Return the errors of decoding in flow coordinates, against a plain long iteration."""
    with torch.no_grad():
        exact = deepcopy(flow).double()
        y = z.double()
        for layer in reversed(exact.flow.sequence):
            if isinstance(layer, ResidualBlock):
                x = y
                for _ in range(400):
                    x = y - layer.branch(x)
                y = x
            else:
                y = layer.decode_map(y)
        with tolerance(flow, setting):
            return (flow.flow.decode_map(z) - y).abs().amax(1)


def test_an_analytic_sampler_is_timed_as_it_is(table, flow_for):
    found = measure_speed(flow_for(table, "realnvp", depth=2, hidden=(8,)), SPEC)
    for batch in (1, 16):
        latency = found.metrics[f"sampling/b{batch}/latency_ms"]
        assert latency > 0
        assert found.metrics[f"sampling/b{batch}/latency_ms_iqr"] >= 0
        rate = found.metrics[f"sampling/b{batch}/samples_per_second"]
        assert rate == pytest.approx(1e3 * batch / latency)
    assert 0 <= found.metrics["sampling/worst_error"] < 1e-4
    assert found.labels["inverse"] == "analytic"
    assert found.labels["device"]
    assert not [name for name in found.metrics if "_at_" in name]


def test_an_iterative_sampler_is_timed_at_the_error_its_name_states(residual):
    found = measure_speed(residual, SPEC)
    for batch in (1, 16):
        assert found.metrics[f"sampling/b{batch}/samples_per_second_at_1e-4"] > 0
        assert found.metrics[f"sampling/b{batch}/latency_ms_at_1e-4"] > 0
        assert f"sampling/b{batch}/latency_ms" not in found.metrics
    assert found.metrics["sampling/worst_error"] <= 1e-4
    assert found.labels["inverse"] == "iterative"


def test_the_error_is_really_the_stated_one_and_no_looser_setting_would_keep_it(residual):
    with torch.inference_mode():
        [pool] = prepare_pools(residual, 200, None, [1e-4])
    z = residual.base.sample(200, generator=torch.Generator().manual_seed(SEED))

    worst = float(errors(residual, z, pool.tolerance).max())

    assert pool.error == pytest.approx(worst, rel=0.02, abs=1e-6)
    assert 1e-6 < worst <= 1e-4
    looser = TOLERANCES[TOLERANCES.index(pool.tolerance) - 1]
    assert float(errors(residual, z, looser).max()) > 1e-4
    assert all(block.tolerance == 0 for block in residual.blocks())


def test_what_is_timed_are_latents_of_the_pool_at_its_setting(residual):
    with torch.inference_mode():
        [pool] = prepare_pools(residual, 20, None, [1e-4])
        first, second = pool.decode(residual, 16, 0), pool.decode(residual, 16, 1)
        with tolerance(residual, pool.tolerance):
            expected = residual.decode_map(pool.z)
    torch.testing.assert_close(first, expected[:16])
    torch.testing.assert_close(second[:4], expected[16:])
    torch.testing.assert_close(second[4:], expected[:12])


def test_a_sampler_that_cannot_meet_the_error_has_no_speed_and_says_so(residual):
    # The reference must not be cut short as well: the two would agree.
    for block in residual.blocks():
        block.max_iterations = 2
    found = measure_speed(residual, SPEC)
    assert found.metrics["sampling/worst_error"] > 1e-4
    assert set(found.metrics) == {"sampling/worst_error"}
    assert "tightest setting" in found.labels["speed"]


def test_a_sampler_that_rounds_to_more_is_timed_at_the_next_error_that_it_meets(
    residual, monkeypatch
):
    measured = matched.largest_error

    def rounded(reference, found):  # float32 at 784 pixels, say
        return measured(reference, found) + 3e-4

    monkeypatch.setattr(matched, "largest_error", rounded)
    found = measure_speed(residual, SPEC)
    assert found.metrics["sampling/b16/latency_ms_at_1e-3"] > 0
    assert not any("1e-4" in name for name in found.metrics)
    assert 3e-4 < found.metrics["sampling/worst_error"] <= 1e-3
    assert "speed" not in found.labels
    assert "relative tolerance" in found.labels["sampler"]


def test_the_full_protocol_also_times_tighter_errors(residual, table):
    spec = EvaluationSpec(speed_batches=(1,), protocol="full")
    found = measure_speed(residual, spec, table)
    assert found.labels["protocol"] == "full"
    assert found.labels["sampler_at_1e-5"] != found.labels["sampler"]
    for ending in ("_at_1e-4", "_at_1e-5"):
        assert found.metrics[f"sampling/b1/latency_ms{ending}"] > 0
    assert 1e-5 < found.metrics["sampling/worst_error"] <= 1e-4
    with torch.inference_mode():
        pools = prepare_pools(residual, 100, None, [1e-4, 1e-5])
    assert pools[1].error <= 1e-5 < pools[0].error <= 1e-4
    with pytest.raises(InputError, match="data are needed"):
        measure_speed(residual, spec)


def test_a_double_model_is_also_timed_at_an_error_of_its_own(residual, table):
    spec = EvaluationSpec(speed_batches=(1,), protocol="full")
    found = measure_speed(residual.double(), spec, table)
    assert found.metrics["sampling/b1/latency_ms_at_1e-6"] > 0


def test_scalar_equations_are_timed_at_round_off(table, flow_for):
    found = measure_speed(flow_for(table, "planar", depth=3), SPEC)
    assert found.metrics["sampling/worst_error"] < 1e-5
    assert found.metrics["sampling/b1/latency_ms_at_1e-4"] > 0
    assert found.labels["sampler"] == "to round-off"


def test_a_slow_reference_leaves_a_smaller_pool(residual, monkeypatch):
    monkeypatch.setattr(matched, "REFERENCE_SECONDS", 0.0)
    with torch.inference_mode():
        [pool] = prepare_pools(residual, 300, None, [1e-4])
    assert len(pool.z) == matched.CHUNK


def test_a_conditional_flow_is_sampled_at_the_contexts_it_is_given(conditional, flow_for):
    flow = flow_for(conditional, "realnvp", depth=2, hidden=(8,))
    with pytest.raises(InputError, match="data are needed"):
        measure_speed(flow, SPEC)
    assert measure_speed(flow, SPEC, conditional).metrics["sampling/b16/latency_ms"] > 0


class Own(torch.nn.Module):
    inverse_label = "iterative"

    def __init__(self, event_shape):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def log_prob(self, x):
        return x.sum(1)

    def sample(self, n):
        return self.scale * torch.randn(n, 3)


def test_a_users_own_iterations_are_timed_without_a_claim_about_their_error():
    found = measure_speed(ForeignFlow(Own, (3,)), SPEC)
    assert found.metrics["sampling/b1/latency_ms"] > 0
    assert "sampling/worst_error" not in found.metrics
    assert "unknown error" in found.labels["speed"]


def test_measuring_leaves_the_flow_as_it_was(residual):
    residual.train()
    before = {name: value.clone() for name, value in residual.state_dict().items()}
    measure_speed(residual, SPEC)
    assert residual.training
    assert all(torch.equal(before[name], value) for name, value in residual.state_dict().items())
    residual(torch.randn(4, 3)).sum().backward()


def test_calls_are_warmed_up_and_repeated_within_bounds():
    calls = []
    found = timing.timed(lambda: calls.append(1), torch.device("cpu"))
    assert found.repeats == len(calls) - timing.WARM_UPS == timing.REPEATS.stop - 1
    assert found.median > 0


def test_slow_calls_are_repeated_less_and_very_slow_ones_not_at_all(monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    assert timing.timed(lambda: None, torch.device("cpu")).repeats == timing.REPEATS.start
    monkeypatch.setattr(timing, "LONGEST", 0.0)
    assert timing.timed(lambda: None, torch.device("cpu")).repeats == 1
