import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats

from flowbench.compare.runs import LABELS, METRICS
from flowbench.evaluation import evaluate, timing
from flowbench.families.foreign import ForeignFlow
from flowbench.spec.metrics import by_name
from flowbench.spec.run import EvaluationSpec


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0.02)


def test_everything_that_the_leaderboard_reads_is_measured(digits, flow_for, tmp_path):
    flow = flow_for(digits, "glow", depth=1, levels=1, width=8)
    parts = []
    spec = EvaluationSpec(draws=2, inversion_points=50, samples=3)
    found = evaluate(flow, digits, spec, out=tmp_path, progress=parts.append)

    quick = [name for name in METRICS if by_name()[name].protocol == "quick"]
    not_here = ("test/", "val/excess", "_at_1e-", "_iw")
    wanted = [name for name in quick if not any(part in name for part in not_here)]
    assert set(wanted) <= set(found.metrics) <= set(by_name())
    assert set(LABELS) <= set(found.labels)
    assert found.labels["data"] == "dequantised"
    assert found.labels["draws"] == "2"
    assert found.labels["event_shape"] == "1x8x8"
    assert [step["name"] for step in json.loads(found.labels["preprocess"])] == ["scale", "logit"]
    assert found.metrics["inversion/points"] == 50
    points = pq.read_table(tmp_path / "points.parquet")
    assert len(points) == 180
    assert "gaussian" not in points.column_names
    with np.load(tmp_path / "samples.npz") as kept:
        assert len(kept["flow"]) == 3
    assert parts == ["likelihood", "inversion", "speed", "samples"]
    assert all(np.isfinite(value) for value in found.metrics.values())


def test_the_full_protocol_measures_all_that_is_documented_and_says_so(digits, flow_for):
    flow = flow_for(digits, "glow", spread=0.01, depth=1, levels=1, width=8)
    spec = EvaluationSpec(inversion_points=40, importance_draws=2)
    quick, parts = evaluate(flow, digits, spec), []
    full_spec = spec.model_copy(update={"protocol": "full"})
    full = evaluate(flow, digits, full_spec, progress=parts.append)

    assert (quick.labels["protocol"], full.labels["protocol"]) == ("quick", "full")
    timed = ("sampling/", "density/", "training/")
    same = {k: v for k, v in quick.metrics.items() if not k.startswith(timed)}
    assert same.items() <= full.metrics.items()  # more is measured, nothing otherwise
    assert set(full.metrics) <= set(by_name())
    # Of a flow without iterations, on images that are scored by features.
    elsewhere = ("_at_1e-", "iteration", "contraction", "unconverged", "two_sample")
    promised = [
        name
        for name, metric in by_name().items()
        if metric.protocol == "full" and not any(part in name for part in elsewhere)
    ]
    assert set(promised) <= set(full.metrics)
    assert full.labels["training_batch"] == "256"
    assert parts == [
        "likelihood", "inversion", "inversion in full", "speed", "scores of samples", "calibration"
    ]  # fmt: skip


def test_a_run_in_a_sweep_is_measured_in_full_but_for_what_needs_an_idle_device(table, flow_for):
    flow = flow_for(table, "realnvp", depth=1, hidden=(4,))
    found = evaluate(flow, table, EvaluationSpec(speed=False, protocol="full"))
    rooms = {name.split("/")[0] for name in found.metrics}
    assert rooms == {"val", "inversion", "jacobian", "samples", "latent"}
    assert found.labels["protocol"] == "full"


def test_the_gain_over_the_gaussian_is_known_by_point_of_continuous_data(
    table, table_file, flow_for, tmp_path
):
    flow = flow_for(table, "realnvp", depth=1, hidden=(4,))
    found = evaluate(flow, table, EvaluationSpec(speed=False), out=tmp_path)
    points = pq.read_table(tmp_path / "points.parquet").to_pandas()
    gain = (points["log_prob"] - points["gaussian"]).mean() / (flow.dim * np.log(2))
    assert gain == pytest.approx(found.metrics["val/gain_over_gaussian"])
    rows = np.load(table_file).astype(np.float32).astype(float)
    fitted_to = rows[table.source.splits["train"].row]
    normal = stats.multivariate_normal(fitted_to.mean(0), np.cov(fitted_to.T, bias=True))
    expected = normal.logpdf(rows[points["row"]])
    np.testing.assert_allclose(points["gaussian"], expected, rtol=1e-5, atol=1e-5)


def test_the_test_split_is_read_only_where_it_is_named(moons, flow_for):
    flow = flow_for(moons, "planar", depth=2)
    spec = EvaluationSpec(speed=False, inversion_points=20)
    found = evaluate(flow, moons, spec)
    assert not [name for name in found.metrics if name.startswith(("test/", "sampling/"))]
    found = evaluate(flow, moons, spec.model_copy(update={"split": "test"}))
    assert found.metrics["test/points"] == 100_000
    assert found.metrics["test/excess_over_entropy_se"] < 0.02
    assert not [name for name in found.metrics if name.startswith("val/")]
    assert found.labels["columns"] == '["x1", "x2"]'


class OnlyDensity(torch.nn.Module):
    def __init__(self, event_shape):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(event_shape))

    def log_prob(self, x):
        return -0.5 * (x - self.mean).square().sum(1)

    def sample(self, n):
        return self.mean + torch.randn(n, *self.mean.shape)


def test_what_a_users_flow_lacks_is_not_measured(table, tmp_path):
    flow = ForeignFlow(OnlyDensity, (3,), preprocess=table.preprocess())
    found = evaluate(flow, table, EvaluationSpec(speed_batches=(1,)), out=tmp_path)
    assert not [name for name in found.metrics if name.startswith("inversion/")]
    assert found.metrics["sampling/b1/latency_ms"] > 0
    assert "val/bits_per_dim" in found.metrics


def test_the_full_protocol_measures_what_a_users_flow_has(table):
    flow = ForeignFlow(OnlyDensity, (3,), preprocess=table.preprocess())
    found = evaluate(flow, table, EvaluationSpec(speed_batches=(1,), protocol="full"))
    rooms = {name.split("/")[0] for name in found.metrics}
    assert rooms == {"val", "sampling", "density", "training", "memory", "flops", "samples"}


def test_measuring_again_gives_the_same_numbers_and_leaves_the_mode(table, flow_for):
    flow = flow_for(table, "residual", depth=1, hidden=(8,))
    spec = EvaluationSpec(speed=False)
    once = evaluate(flow, table, spec)
    flow.train()
    again = evaluate(flow, table, spec)
    assert flow.training
    assert once == again
    assert again.labels["log_det"] == "exact"
