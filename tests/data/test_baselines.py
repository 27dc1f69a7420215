"""Baselines against scipy, numpy and counting by hand."""

from collections import Counter
from math import log

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm

from flowbench.data.baselines import Gaussian, Histogram
from flowbench.data.module import FlowData, open_data
from flowbench.data.summary import baselines, measure_baselines
from flowbench.spec.run import DataSpec


def _fitted(x: np.ndarray, context: np.ndarray | None = None) -> Gaussian:
    gaussian = Gaussian()
    for start in range(0, len(x), 64):
        here = slice(start, start + 64)
        gaussian.add(
            torch.from_numpy(x[here]), None if context is None else torch.from_numpy(context[here])
        )
    return gaussian


def test_gaussian_is_the_one_of_maximum_likelihood(measurements) -> None:
    found = _fitted(measurements[:300]).log_prob(torch.from_numpy(measurements[300:]))
    covariance = np.cov(measurements[:300].T, bias=True)
    centred = measurements[300:] - measurements[:300].mean(0)
    squares = (centred * np.linalg.solve(covariance, centred.T).T).sum(1)
    expected = -0.5 * (squares + np.linalg.slogdet(2 * np.pi * covariance)[1])
    assert np.allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_gaussian_is_the_same_in_any_units(measurements, scale: float) -> None:
    """A column of tiny or huge units must not lose its spread to the ridge on the others."""
    x = torch.from_numpy(measurements)
    units = torch.tensor([1.0, scale, 1.0], dtype=torch.float64)
    found = _fitted((x * units).numpy()).log_prob(x * units)
    assert torch.allclose(found + log(scale), _fitted(measurements).log_prob(x), atol=1e-6)


def test_gaussian_far_from_zero_loses_no_digits(measurements) -> None:
    x = torch.from_numpy(measurements)
    shifted = _fitted(measurements + 1e8).log_prob(x + 1e8)
    assert torch.allclose(shifted, _fitted(measurements).log_prob(x), atol=1e-4)


def test_nearly_dependent_columns_have_a_finite_gaussian(measurements) -> None:
    x = np.concatenate([measurements, measurements[:, :1] * 2], axis=1)
    assert _fitted(x).log_prob(torch.from_numpy(x)).isfinite().all()


def test_gaussian_given_a_context_is_linear_regression(measurements) -> None:
    y, context = measurements[:, :1], measurements[:, 1:]
    found = _fitted(y, context).log_prob(torch.from_numpy(y), torch.from_numpy(context))
    design = np.column_stack([np.ones(400), context])
    residual = y[:, 0] - design @ np.linalg.lstsq(design, y[:, 0], rcond=None)[0]
    assert np.allclose(found, norm(0, residual.std()).logpdf(residual), atol=1e-5)


def test_histogram_counts_each_coordinate_and_one_more_of_every_level() -> None:
    generator = np.random.default_rng(0)
    train, held_out = generator.integers(-2, 3, (100, 4)), generator.integers(-2, 3, (30, 4))
    histogram = Histogram(-2, 5, (4,))
    histogram.add(train[:60])
    histogram.add(train[60:])
    counted = [Counter(column) for column in train.T.tolist()]
    expected = [
        sum(log((counted[i][value] + 1) / 105) for i, value in enumerate(row))
        for row in held_out.tolist()
    ]
    assert np.allclose(histogram.log_prob(held_out), expected)


@pytest.fixture(scope="module")
def digits() -> FlowData:
    return open_data(DataSpec(name="digits"), data_seed=0)


def test_gaussian_in_flow_coordinates_counts_the_logit(digits) -> None:
    """By hand in float64: logit, Gaussian by scipy, the logit's slope from its formula."""
    lam = 0.01

    def coordinates(split) -> tuple[np.ndarray, np.ndarray]:
        x = torch.cat([batch.x for batch in digits.batches(split)]).double().flatten(1).numpy()
        p = lam + (1 - 2 * lam) * x / 17
        slope = (1 - 2 * lam) / 17 / (p * (1 - p))
        return np.log(p / (1 - p)), np.log(slope).sum(1)

    y, _ = coordinates("train")
    fit = multivariate_normal(y.mean(0), np.cov(y.T, bias=True))
    z, log_det = coordinates("test")
    expected = (fit.logpdf(z) + log_det).mean()
    found = baselines(digits)
    assert found["gaussian_flow/test/nats"] == pytest.approx(expected, abs=1e-4)
    assert found["gaussian_flow/test/bits_per_dim"] == pytest.approx(-expected / 64 / log(2))
    # Another split gave 2.29 elsewhere; over splits the value has a deviation of 0.01.
    assert found["gaussian_flow/test/bits_per_dim"] == pytest.approx(2.29, abs=0.03)


def test_histogram_of_digits_by_numpy(digits) -> None:
    def pixels(split) -> np.ndarray:
        return digits.source.splits[split].take(slice(None)).x.reshape(-1, 64)

    share = np.stack([np.bincount(column, minlength=17) + 1 for column in pixels("train").T])
    share = share / (1257 + 17)
    expected = np.log(share[np.arange(64), pixels("validation")]).sum(1).mean()
    assert baselines(digits)["histogram/val/nats"] == pytest.approx(expected, abs=1e-9)


def test_a_table_of_integers_has_a_histogram_only_when_it_is_dequantised(tmp_path) -> None:
    np.save(tmp_path / "t.npy", np.random.default_rng(0).integers(-3, 9, (4000, 4)))
    path = str(tmp_path / "t.npy")
    whole = baselines(open_data(DataSpec(path=path, dequantise=True), data_seed=0))
    part = baselines(open_data(DataSpec(path=path, dequantise=["0"]), data_seed=0))
    assert whole["histogram/test/nats"] == pytest.approx(-4 * log(12), abs=0.05)
    assert "histogram/test/nats" not in part
    # Nothing of what was kept for the one may be handed out for the other.
    assert whole["gaussian/test/nats"] != part["gaussian/test/nats"]


def test_baselines_are_kept_and_equal_to_measured_ones(digits, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path))
    found = baselines(digits)
    assert len(list((tmp_path / "baselines").iterdir())) == 1
    assert baselines(digits) == found == measure_baselines(digits)


def test_other_preprocessing_has_other_baselines(digits) -> None:
    steps = [{"name": "scale", "low": 0, "high": 17}, {"name": "logit", "lam": 1e-6}]
    other = baselines(open_data(DataSpec(name="digits", preprocess=steps), data_seed=0))
    found = baselines(digits)
    assert other["gaussian/test/nats"] == found["gaussian/test/nats"]
    assert other["gaussian_flow/test/bits_per_dim"] == pytest.approx(2.34, abs=0.03)
