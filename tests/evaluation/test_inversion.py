import numpy as np
import pytest
import torch
from planted import Affine, Faulty

from flowbench.bijections.residual import ResidualBlock
from flowbench.data.module import open_data
from flowbench.evaluation.inversion import measure_inversion
from flowbench.families.foreign import ForeignFlow
from flowbench.spec.run import DataSpec


def flow_coordinates(data):
    x = torch.cat([batch.x for batch in data.batches("validation")])
    return data.preprocess().encode_map(x)


def test_a_sound_flow_comes_back_to_round_off(table):
    found = measure_inversion(Affine(table), table, "validation")
    assert found["inversion/points"] == 200
    for way in ("flow/xzx", "data/xzx", "flow/zxz", "data/zxz"):
        assert 0 <= found[f"inversion/{way}/median"] <= found[f"inversion/{way}/p99"]
        assert found[f"inversion/{way}/p99"] <= found[f"inversion/{way}/max"] < 1e-12
        assert found[f"inversion/{way}/nonfinite"] == 0
    assert "inversion/exact_share" not in found
    assert "inversion/iterations_mean" not in found


def test_a_shift_on_the_way_back_is_found_in_flow_coordinates_and_in_data_units(table):
    def shifted(z):
        return z + z.new_tensor([0, 1e-3, 0])

    found = measure_inversion(Faulty(table, shifted).double(), table, "validation")
    train = torch.cat([batch.x for batch in table.batches("train")]).double().numpy()
    deviation = train[:, 1].std()
    for quantile in ("max", "p99", "median"):
        assert found[f"inversion/flow/xzx/{quantile}"] == pytest.approx(1e-3, rel=1e-9)
        assert found[f"inversion/data/xzx/{quantile}"] == pytest.approx(1e-3 * deviation, rel=1e-6)
        assert found[f"inversion/flow/zxz/{quantile}"] == pytest.approx(1e-3, rel=1e-9)
        assert found[f"inversion/data/zxz/{quantile}"] == pytest.approx(1e-3, rel=1e-6)


def test_the_worst_of_few_bad_points_is_in_the_maximum_alone(table):
    y = flow_coordinates(table)
    threshold = y[:, 0].sort().values[-2]  # exactly two of 200 points: 1 %

    def bent(z):
        return torch.where(z[:, :1] >= threshold, z + 0.25, z)

    found = measure_inversion(Faulty(table, bent), table, "validation")
    assert found["inversion/flow/xzx/max"] == pytest.approx(0.25, rel=1e-5)
    assert found["inversion/flow/xzx/median"] < 1e-6


def test_points_that_end_in_no_number_are_a_share_and_make_the_maximum_infinite(table):
    y = flow_coordinates(table)
    threshold = y[:, 0].sort().values[-4]  # four of 200: 2 %

    def lost(z):
        return torch.where(z[:, :1] >= threshold, torch.nan, z)

    found = measure_inversion(Faulty(table, lost), table, "validation", batch_size=30)
    for way in ("flow/xzx", "data/xzx"):
        assert found[f"inversion/{way}/nonfinite"] == 0.02
        assert found[f"inversion/{way}/max"] == np.inf
        assert found[f"inversion/{way}/median"] < 1e-6


def test_integers_that_come_back_changed_lower_the_exact_share(digits):
    def brightened(z):
        # The first pixel jumps far up in flow coordinates where it is dark: another integer.
        return torch.cat([torch.where(z[:, :1] < 0, z[:, :1] + 3, z[:, :1]), z[:, 1:]], 1)

    y = flow_coordinates(digits).flatten(1)
    back = digits.preprocess().decode_map(brightened(y).reshape(-1, 1, 8, 8))
    original = torch.from_numpy(digits.source.splits["validation"].take(slice(None)).x)
    expected = (back.floor().clamp(0, 16) == original).flatten(1).all(1).double().mean()

    found = measure_inversion(Faulty(digits, brightened), digits, "validation")

    assert 0 <= expected < 0.9
    assert found["inversion/exact_share"] == pytest.approx(float(expected))
    assert measure_inversion(Faulty(digits), digits, "validation")["inversion/exact_share"] == 1


def test_of_a_table_only_its_integer_columns_count_as_exact(tmp_path):
    noise = np.random.default_rng(0)
    rows = np.stack([noise.integers(0, 9, 300), noise.normal(size=300)], 1)
    np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header="count,size", comments="")
    data = open_data(DataSpec(path=str(tmp_path / "t.csv"), dequantise=["count"]), 0)

    def shifted(column, by):
        return lambda z: z + by * torch.nn.functional.one_hot(torch.tensor(column), 2)

    def exact_share(fault):
        found = measure_inversion(Faulty(data, fault), data, "validation")
        return found["inversion/exact_share"]

    assert exact_share(shifted(1, 0.1)) == 1
    assert exact_share(shifted(0, 2.0)) == 0


def test_solves_that_stop_early_are_counted_with_their_iterations(table, flow_for):
    flow = flow_for(table, "residual", depth=2, hidden=(16,))
    sound = measure_inversion(flow, table, "validation")
    assert sound["inversion/unconverged"] == 0
    assert 1 < sound["inversion/iterations_mean"] <= sound["inversion/iterations_max"] < 100

    for layer in flow.bijections():
        if isinstance(layer, ResidualBlock):
            layer.max_iterations = 2
    cut = measure_inversion(flow, table, "validation")
    assert cut["inversion/unconverged"] > 300  # of 200 points and 200 latents
    assert cut["inversion/iterations_max"] == 2
    assert cut["inversion/flow/xzx/max"] > 100 * sound["inversion/flow/xzx/max"]


def test_the_number_of_points_can_be_limited(table):
    found = measure_inversion(Affine(table), table, "validation", points=50, batch_size=20)
    assert found["inversion/points"] == 50


def test_a_conditional_flow_is_inverted_at_the_context_of_each_row(conditional, flow_for):
    flow = flow_for(conditional, "realnvp", depth=2, hidden=(8,))
    found = measure_inversion(flow, conditional, "validation", batch_size=16)
    assert found["inversion/flow/xzx/max"] < 1e-5
    assert found["inversion/data/zxz/max"] < 1e-5


class Box(torch.nn.Module):
    """A user's own flow whose latents lie in (0, 1): a normal one could not be decoded."""

    def __init__(self, event_shape):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def encode(self, x):
        return torch.sigmoid(x * self.scale), x.new_zeros(len(x))

    def decode(self, z):
        return torch.logit(z) / self.scale, z.new_zeros(len(z))

    def log_prob(self, x):
        return x.sum(1)

    def sample(self, n):
        return torch.logit(torch.rand(n, 3))


def test_a_users_own_latents_are_taken_from_data(table):
    flow = ForeignFlow(Box, (3,), preprocess=table.preprocess())
    found = measure_inversion(flow, table, "validation")
    assert found["inversion/flow/zxz/nonfinite"] == 0
    assert found["inversion/flow/zxz/max"] < 1e-5
