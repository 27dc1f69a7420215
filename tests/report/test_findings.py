"""Planted faults, measured for real, are said in the report and not left to a cell."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic_record import Record, RecordedRun

from flowbench.evaluation import evaluate
from flowbench.families.registry import create
from flowbench.report.contents import contents
from flowbench.report.findings import CHECKS
from flowbench.report.page import html
from flowbench.spec.run import EvaluationSpec
from flowbench.tracking import schema
from tests.evaluation.planted import Faulty, Scaled, given

pytestmark = pytest.mark.xdist_group("findings")
FULL = EvaluationSpec(split="test", protocol="full", speed=False, inversion_points=200)
QUICK = FULL.model_copy(update={"protocol": "quick"})


def off_by_a_thousandth(z):
    return z + 1e-3


def not_a_number_at_two_percent(z):
    return torch.where((z[:, :1] > z[:, 0].quantile(0.98)), torch.nan, z)


class OnEncode(Faulty):
    """A flow whose density is no number at two per cent of its inputs."""

    def log_prob(self, x, context=None):
        values = super().log_prob(x, context)
        return torch.where(values < values.quantile(0.02), torch.nan, values)


def wrong_log_det(data):
    flow = Faulty(data)
    flow.flow.layers[0] = Scaled(torch.eye(2), fault=0.1)
    return flow


@pytest.fixture(scope="module")
def data():
    return given(np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32))


def residual(data):
    torch.manual_seed(0)
    flow = create("residual", (2,), preprocess=data.preprocess(), depth=2, hidden=(8,))
    flow.initialise(next(data.batches("train", 64)).x)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    flow.after_step()
    return flow


PLANTED = {
    "off": lambda data: Faulty(data, off_by_a_thousandth),
    "nan": lambda data: Faulty(data, not_a_number_at_two_percent),
    "blind": OnEncode,
    "logdet": wrong_log_det,
    "sound": Faulty,
    "residual": residual,
}


@pytest.mark.parametrize(("error", "said"), [(0.02, True), (1e-5, False), (math.nan, False)])
def test_inputs_lost_in_reversible_backpropagation_are_told(error, said):
    runs = pd.DataFrame({"train/reconstruction_error": [1e-6, error]})
    sentences = list(CHECKS["gradients"](runs))
    assert len(sentences) == said
    assert all("an error of up to 0.020" in sentence for sentence in sentences)


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    """A record of one confirmed and fully measured run of each, and what is said of it."""
    record = Record(tmp_path_factory.mktemp("planted"))
    for name, build in PLANTED.items():
        flow = build(data).eval()
        quick, full = (evaluate(flow, data, spec) for spec in (QUICK, FULL))
        run = f"planted.{name}.moons.confirm-0"
        record.add(RecordedRun(
            run, name, "moons", stage="confirm", sweep="planted", labels=quick.labels,
            metrics={k: v for k, v in quick.metrics.items() if not math.isnan(v)},
        ))  # fmt: skip
        record.add(RecordedRun(
            f"{run}.full", name, "moons", stage="evaluate", sweep="planted", labels=full.labels,
            metrics={k: v for k, v in full.metrics.items() if not math.isnan(v)},
            tags={schema.MEASURES: run},
        ))  # fmt: skip
    return contents(record.uri, "planted")


@pytest.fixture(scope="module")
def found(made):
    frame = pd.DataFrame([vars(finding) for finding in made.findings])
    return frame.groupby("family")


def of(found, family):
    return dict(found.get_group(family)[["kind", "sentence"]].itertuples(index=False))


def test_a_decode_that_is_off_by_a_thousandth_is_said_and_told_from_round_off(found):
    said = of(found, "off")
    assert set(said) == {"inverse"}
    assert said["inverse"] == (
        "off: its decode does not undo encode: a typical point comes back 0.0010 off in double"
        " precision too, so this is no round-off"
    )


def test_round_trips_that_end_in_no_number_are_said_with_their_share(found):
    said = of(found, "nan")
    assert "not finite" in said
    assert "x → z → x 2.0 %" in said["not finite"]
    assert "own samples" in said["not finite"]


def test_a_density_that_is_no_number_at_some_points_is_no_likelihood(found, made):
    said = of(found, "blind")["likelihood"]
    assert said.endswith("so it has no likelihood")
    assert "(2.0 %)" in said or "(2.1 %)" in said
    assert "blind" not in set(made.leaderboard.dropna(subset="rank")["family"])


def test_a_log_det_that_is_off_by_a_tenth_is_said(found):
    said = of(found, "logdet")
    assert set(said) == {"log-det"}
    assert "off by up to 0.10 nats from the exact Jacobian" in said["log-det"]


def test_sound_flows_have_no_findings(found):
    assert set(found.groups) == {"off", "nan", "blind", "logdet"}


def test_the_page_says_them_above_every_table_and_the_twins_say_them_too(made):
    page = html(made)
    for finding in made.findings:
        assert finding.sentence in page
    assert page.index("What is wrong with some models") < page.index('id="1-moons"')


def test_an_estimate_may_be_off_by_its_own_noise(tmp_path):
    record = Record(tmp_path)
    labels = {"log_det": "estimate", "data": "density", "inverse": "iterative"}
    common = {
        "test/bits_per_dim": 1.0, "test/nats": -1.4, "test/points": 100.0, "jacobian/points": 8.0,
        "test/estimator_se": 0.05,
    }  # fmt: skip
    for family, error in (("noisy", 2.0), ("wrong", 4.0)):
        record.add(RecordedRun(
            family, family, "moons", stage="confirm", labels=labels,
            metrics={**common, "jacobian/log_det_error_max": error},
        ))  # fmt: skip
    # Of one point the noise is 0.05 sqrt(100) = 0.5 nats.
    said = contents(record.uri, "demo").findings
    assert [(f.family, f.kind) for f in said] == [("wrong", "log-det")]


def test_a_residual_flow_without_a_certificate_is_said_to_have_none(tmp_path):
    record = Record(tmp_path)
    for family, bound, seen in (("proven", 0.9, 0.5), ("unproven", 1.1, 0.9), ("no", 1.2, 1.05)):
        record.add(RecordedRun(
            family, family, "moons", stage="confirm",
            metrics={"test/bits_per_dim": 1.0, "test/nats": -1.4, "lipschitz/certified": bound,
                     "lipschitz/measured": seen, "inversion/unconverged": float(seen > 1),
                     "inversion/points": 10.0},
        ))  # fmt: skip
    said = {(f.family, f.kind): f.sentence for f in contents(record.uri, "demo").findings}
    assert set(said) == {
        ("unproven", "certificate"), ("no", "certificate"), ("no", "unconverged")
    }  # fmt: skip
    assert "not certified" in said["unproven", "certificate"]
    assert said["no", "certificate"].endswith("1.050 or more: not invertible")
