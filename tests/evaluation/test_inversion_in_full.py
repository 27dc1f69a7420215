from functools import partial
from math import log

import numpy as np
import pytest
import torch
from planted import Affine, Faulty, Linear, OneBlock

from flowbench.bijections import residual
from flowbench.evaluation.inputs import FAR, out_of_distribution
from flowbench.evaluation.inversion_in_full import measure_inversion_in_full
from flowbench.evaluation.iterations import contraction, measure_evaluations, measure_iterations
from flowbench.evaluation.jacobian import measure_jacobian
from flowbench.evaluation.passes import measure_passes
from flowbench.evaluation.unseen import measure_unseen
from flowbench.families.foreign import ForeignFlow
from flowbench.numerics.fixed_point import solve_residual
from flowbench.spec.metrics import ITERATIONS, OUT_OF_DISTRIBUTION, by_name
from flowbench.spec.run import EvaluationSpec

KINDS = ("samples", *OUT_OF_DISTRIBUTION)
SPEC = EvaluationSpec()


def held_out(data):
    x = torch.cat([batch.x for batch in data.batches("validation")])
    return data.preprocess().encode_map(x)


def unseen(flow, data, points=1024):
    return measure_unseen(flow, data, "validation", points=points, seconds=60)


def test_everything_is_measured_under_documented_names(table, flow_for):
    flow = flow_for(table, "residual", depth=2, hidden=(8,))
    found = measure_inversion_in_full(flow, table, SPEC)
    assert set(found.metrics) <= set(by_name())
    promised = [
        name
        for name, metric in by_name().items()
        if metric.protocol == "full" and name.startswith(("inversion/", "jacobian/"))
    ]
    assert set(promised) - set(found.metrics) == {"inversion/exact_share_float64"}
    assert all(np.isfinite(value) for value in found.metrics.values())
    assert not found.labels


def test_a_decode_that_is_off_shows_in_every_kind_and_precision_and_adds_up_over_passes(table):
    def shifted(z):
        return z + 1e-3

    flow = Faulty(table, shifted)
    found = measure_inversion_in_full(flow, table, SPEC).metrics
    for kind in KINDS:
        for ending in ("", "_float64"):
            scale = 30 if kind == "far" else 3
            rounding = scale * (1e-6 if ending == "" else 1e-14)
            error = found[f"inversion/{kind}/flow/max{ending}"]
            assert error == pytest.approx(1e-3, abs=rounding)
            assert found[f"inversion/{kind}/flow/median{ending}"] == pytest.approx(
                1e-3, abs=rounding
            )
    assert found["inversion/flow/xzx/max_float64"] == pytest.approx(1e-3, rel=1e-10)
    assert found["inversion/flow/xzx9/median"] == pytest.approx(9e-3, rel=1e-3)
    sound = measure_inversion_in_full(Faulty(table), table, SPEC).metrics
    assert sound["inversion/flow/xzx9/max"] < 1e-5
    assert sound["inversion/samples/flow/max_float64"] < 1e-13


def test_round_off_is_told_from_a_fault_by_the_float64_copy(table, flow_for):
    flow = flow_for(table, "realnvp", depth=4, hidden=(16,))
    found = measure_inversion_in_full(flow, table, SPEC).metrics
    for kind in KINDS:
        assert found[f"inversion/{kind}/flow/max"] > 1e-7
        assert (
            found[f"inversion/{kind}/flow/max_float64"] < 1e-6 * found[f"inversion/{kind}/flow/max"]
        )
    assert found["inversion/points_float64"] == 200
    assert next(flow.parameters()).dtype == torch.float32


def test_inputs_that_end_in_no_number_are_a_share_of_their_kind(table):
    y = held_out(table)
    reach = y.abs().max()

    def lost(z):  # nothing that the model saw: only what lies far outside
        return torch.where(z[:, :1].abs() > reach, torch.nan, z)

    found = unseen(Faulty(table, lost), table)
    far = y.mean(0) + FAR * (y - y.mean(0))
    expected = (far[:, 0].abs() > reach).double().mean()
    assert 0.1 < expected < 1
    assert found["inversion/far/flow/nonfinite"] == pytest.approx(float(expected), abs=0.011)
    assert found["inversion/far/flow/max"] == np.inf
    assert found["inversion/shuffled/flow/nonfinite"] == 0
    assert found["inversion/uniform/flow/max"] < 1e-5


def test_out_of_distribution_inputs_are_what_their_names_say():
    noise = torch.randn(4000, 3, generator=torch.Generator().manual_seed(1)).double()
    y = torch.stack([noise[:, 0], 2 * noise[:, 0] + 5, noise[:, 2].exp()], 1)
    made = out_of_distribution(y, torch.Generator().manual_seed(0))
    assert tuple(made) == OUT_OF_DISTRIBUTION
    mean, deviation = y.mean(0), y.std(0, correction=0)

    uniform = made["uniform"]
    assert ((uniform >= y.amin(0)) & (uniform <= y.amax(0))).all()
    share = (uniform - y.amin(0)) / (y.amax(0) - y.amin(0))
    assert share.std(0) == pytest.approx(12**-0.5, rel=0.05)

    gaussian = (made["gaussian"] - mean) / deviation
    assert gaussian.mean(0).abs().max() < 0.1
    assert gaussian.std(0) == pytest.approx(1, rel=0.05)
    assert torch.corrcoef(gaussian.T)[0, 1].abs() < 0.1

    corners = (made["rademacher"] - mean) / deviation
    torch.testing.assert_close(corners.abs(), torch.ones_like(corners))
    assert corners.mean(0).abs().max() < 0.1

    torch.testing.assert_close(made["far"] - mean, FAR * (y - mean))

    shuffled = made["shuffled"]
    torch.testing.assert_close(shuffled.sort(0).values, y.sort(0).values)
    assert torch.corrcoef(y.T)[0, 1] == pytest.approx(1)
    assert torch.corrcoef(shuffled.T)[0, 1].abs() < 0.1


def test_a_logit_fails_end_to_end_where_the_flow_itself_does_not(digits, flow_for):
    flow = flow_for(digits, "nice", depth=2, network="mlp", hidden=(8,))
    found = unseen(flow, digits, points=64)
    assert found["inversion/far/points"] == 64
    assert found["inversion/far/flow/nonfinite"] == 0
    # Ten times further out, float32 has no number between the last one and the box's edge.
    assert found["inversion/far/data/nonfinite"] > 0.5
    assert found["inversion/shuffled/data/nonfinite"] == 0


def test_a_slow_part_is_cut_short_and_says_how_many_points_it_took(table):
    flow = Affine(table)
    options = {"points": 200, "seconds": 0.0}
    found = measure_passes(flow, table, "validation", **options)
    found |= measure_unseen(flow, table, "validation", **options)
    assert found["inversion/flow/xzx9/points"] == 128
    assert found["inversion/gaussian/points"] == 128
    assert measure_jacobian(flow, table, "validation", seconds=0.0)["jacobian/points"] == 1


def rotation(scale):
    return scale * np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])


def test_plain_iteration_contracts_at_the_rate_of_its_branch(table, monkeypatch):
    plain = partial(solve_residual, memory=0)
    monkeypatch.setattr(residual, "solve_residual", plain)
    for rate in (0.5, 0.8):
        flow = OneBlock(table, rotation(rate), lipschitz=0.9).double()
        found = measure_iterations(flow, table, "validation")
        assert found["inversion/contraction"] == pytest.approx(rate, rel=1e-3)
        y = held_out(table)[:64].double()
        z = y + y @ torch.as_tensor(rotation(rate)).T
        # After n evaluations the iterate has moved n times, from z on.
        for n in (1, 2, 5, 10, 20):
            errors = torch.linalg.matrix_power(-torch.as_tensor(rotation(rate)), n)
            expected = ((z - y) @ errors.T).abs().amax(1)
            assert found[f"inversion/iterations/{n}/max"] == pytest.approx(
                float(expected.max()), rel=1e-6, abs=1e-12
            )


def test_evaluations_to_an_error_are_those_of_the_branchs_rate(table, monkeypatch):
    monkeypatch.setattr(residual, "solve_residual", partial(solve_residual, memory=0))
    for rate in (0.5, 0.8):
        flow = OneBlock(table, rotation(rate), lipschitz=0.9)
        found = measure_evaluations(flow, table, "validation")
        y = held_out(table)[:64].double()
        first = float((y @ torch.as_tensor(rotation(rate)).T).abs().max())
        fewest = log(1e-5 / first) / log(rate)
        # Tolerances are half a decade apart, and what is certified is no more than the error.
        assert fewest <= found["inversion/evaluations_max_at_1e-5"] <= fewest + log(0.1) / log(rate)
        mean = found["inversion/evaluations_mean_at_1e-5"]
        assert 1 < mean <= found["inversion/evaluations_max_at_1e-5"]


def test_acceleration_is_no_slower_than_the_bound_of_the_branch(table, flow_for):
    flow = flow_for(table, "residual", depth=1, hidden=(16,), lipschitz=0.9)
    found = measure_iterations(flow, table, "validation")
    assert 0 < found["inversion/contraction"] < 0.9
    worst = [found[f"inversion/iterations/{n}/max"] for n in ITERATIONS]
    assert worst[0] > 1e-3
    assert worst[-1] < 1e-12
    assert all(block.max_iterations == 500 for block in flow.blocks())


def test_a_flow_without_fixed_points_has_no_curve(table, flow_for):
    assert measure_iterations(Affine(table), table, "validation") == {}
    assert measure_iterations(flow_for(table, "planar", depth=1), table, "validation") == {}


def test_a_rate_is_fitted_down_to_round_off_alone():
    errors = {n: max(3 * 0.6**n, 1e-15) for n in (1, 2, 5, 10, 20, 50, 100, 200)}
    assert contraction(errors, 1e-13) == pytest.approx(0.6)
    assert contraction({1: 1.0, 2: 1e-16}, 1e-13) is None


MATRIX = np.array([[3.0, 1.0, 0.0], [0.0, 0.5, 0.2], [0.4, 0.0, -1.0]])


def test_the_jacobian_of_a_linear_flow_is_its_matrix(table):
    found = measure_jacobian(Linear(table, MATRIX), table, "validation", seconds=60)
    sigma = np.linalg.svd(MATRIX, compute_uv=False)
    assert found["jacobian/sigma_max"] == pytest.approx(sigma[0])
    assert found["jacobian/sigma_min"] == pytest.approx(sigma[-1])
    assert found["jacobian/condition_max"] == pytest.approx(np.linalg.cond(MATRIX))
    assert found["jacobian/condition_median"] == pytest.approx(np.linalg.cond(MATRIX))
    assert found["jacobian/log_det_error_max"] < 1e-12
    assert found["jacobian/points"] == 8


def test_a_log_det_that_is_off_shows_as_much(table):
    found = measure_jacobian(Linear(table, MATRIX, fault=0.1), table, "validation", seconds=60)
    assert found["jacobian/log_det_error_max"] == pytest.approx(0.1, rel=1e-9)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("glow", {"depth": 1, "levels": 1, "width": 8}),
        ("residual", {"depth": 1, "hidden": (4,), "direction": "generative"}),
        ("sylvester", {"depth": 1, "direction": "generative"}),
    ],
)
def test_the_log_dets_of_families_agree_with_the_jacobian_whole_and_in_parts(
    digits, flow_for, monkeypatch, family, options
):
    flow = flow_for(digits, family, **options)
    found = measure_jacobian(flow, digits, "validation", points=2, seconds=60)
    assert found["jacobian/log_det_error_max"] < 1e-8
    assert 1 <= found["jacobian/condition_median"] <= found["jacobian/condition_max"] < 1e6
    monkeypatch.setattr("flowbench.data.batch.ELEMENTS", 64 * 10)  # ten rows at once
    parts = measure_jacobian(flow, digits, "validation", points=2, seconds=60)
    assert parts == pytest.approx(found, rel=1e-6, abs=1e-9)


def test_a_conditional_flow_is_measured_at_the_context_of_each_row(conditional, flow_for):
    flow = flow_for(conditional, "realnvp", depth=2, hidden=(8,))
    found = measure_inversion_in_full(flow, conditional, SPEC).metrics
    assert found["inversion/flow/xzx9/max"] < 1e-4
    assert found["inversion/shuffled/flow/max_float64"] < 1e-11
    assert found["jacobian/log_det_error_max"] < 1e-9


class OnlyFloat32(torch.nn.Module):
    """A user's flow that makes a tensor in one precision whatever it is given."""

    def __init__(self, event_shape):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def encode(self, x):
        return x @ torch.eye(3) * self.scale, 3 * self.scale.log().expand(len(x))

    def decode(self, z):
        return z / self.scale, -3 * self.scale.log().expand(len(z))

    def log_prob(self, x):
        return -0.5 * self.encode(x)[0].square().sum(1)

    def sample(self, n):
        return torch.randn(n, 3)


def test_what_a_users_flow_cannot_do_is_said_and_the_rest_is_measured(table):
    flow = ForeignFlow(OnlyFloat32, (3,), preprocess=table.preprocess())
    found = measure_inversion_in_full(flow, table, SPEC)
    assert found.metrics["inversion/samples/flow/max"] < 1e-5
    assert "float64: " in found.labels["not_measured"]
    assert not [name for name in found.metrics if name.endswith("_float64")]
