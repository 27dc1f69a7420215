"""Whole published data sets, from FLOWBENCH_DATA or by verified download (`make test-data`)."""

import numpy as np
import pytest

from flowbench.data.module import FlowData, open_data
from flowbench.data.summary import baselines
from flowbench.spec.run import DataSpec
from flowbench.spec.vocabulary import Split

pytestmark = pytest.mark.data


def _named(name: str) -> FlowData:
    return open_data(DataSpec(name=name), data_seed=0)


def _table(path: str, **keys) -> FlowData:
    return open_data(DataSpec(path=path, **keys), data_seed=0)


def _pixels(data: FlowData, split: Split) -> np.ndarray:
    return data.source.splits[split].take(slice(None)).x


def _label_counts(data: FlowData, *splits: Split) -> list[int]:
    labels = np.concatenate([data.source.splits[split].label for split in splits])
    return np.bincount(labels).tolist()


@pytest.fixture(scope="module")
def mnist() -> FlowData:
    return _named("mnist")


def test_mnist_is_the_published_one(mnist) -> None:
    assert mnist.info.sizes == {"train": 55_000, "validation": 5_000, "test": 10_000}
    assert mnist.info.event_shape == (1, 28, 28)
    # Counts of each digit in the published training and test sets.
    assert _label_counts(mnist, "train", "validation") == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert _label_counts(mnist, "test") == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    # The mean and deviation that everyone normalises with.
    train = np.concatenate([_pixels(mnist, "train"), _pixels(mnist, "validation")]) / 255
    assert train.mean() == pytest.approx(0.1307, abs=5e-5)
    assert train.std() == pytest.approx(0.3081, abs=5e-5)


def test_the_gaussian_in_flow_coordinates_of_mnist_is_the_known_one(mnist) -> None:
    found = baselines(mnist)
    assert found["gaussian_flow/test/bits_per_dim"] == pytest.approx(2.012, abs=3e-3)
    # Marginal histograms leave what the pixels tell about each other: above the best flows' 1.0,
    # below the entropy of a pixel whose place is unknown, 1.967 bits.
    assert 1.0 < found["histogram/test/bits_per_dim"] < 1.967


def test_fashion_mnist_is_the_published_one() -> None:
    data = _named("fashion-mnist")
    assert data.info.sizes == {"train": 55_000, "validation": 5_000, "test": 10_000}
    assert _label_counts(data, "train", "validation") == [6000] * 10
    assert _label_counts(data, "test") == [1000] * 10
    train = np.concatenate([_pixels(data, "train"), _pixels(data, "validation")]) / 255
    assert train.mean() == pytest.approx(0.2860, abs=5e-5)
    assert train.std() == pytest.approx(0.3530, abs=5e-5)


def test_cifar10_is_the_published_one_but_for_few_images() -> None:
    data = _named("cifar10")
    train = data.info.sizes["train"] + data.info.sizes["validation"]
    assert data.info.event_shape == (3, 32, 32)
    assert 49_900 <= train <= 50_000
    assert 9_970 <= data.info.sizes["test"] <= 10_000
    assert min(_label_counts(data, "train", "validation")) >= 4_900
    assert max(_label_counts(data, "train", "validation")) <= 5_000
    pixels = _pixels(data, "train")
    channels = pixels.mean((0, 2, 3)) / 255
    assert channels == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-3)


def test_protein_has_its_duplicates_in_one_split() -> None:
    data = _table("protein.parquet")
    assert sum(data.info.sizes.values()) == 45_730
    assert data.info.columns[0] == "RMSD"
    assert data.info.warnings[0] == "1,711 duplicate rows; duplicates are kept in one split"
    assert "'F7' has 341" in data.info.warnings[1]
    assert "data.dequantise=[F7]" in data.info.warnings[1]
    assert "'RMSD' and 'F4' (0.998)" in data.info.warnings[2]
    parts = [_pixels(data, split) for split in ("train", "validation", "test")]
    seen = [{row.tobytes() for row in part} for part in parts]
    assert not seen[0] & (seen[1] | seen[2])
    assert not seen[1] & seen[2]


def test_wine_is_warned_about_and_dequantised_on_request() -> None:
    data = _table("wine-quality-red.txt.gz")
    assert sum(data.info.sizes.values()) == 1_599
    assert data.info.event_shape == (12,)
    few = next(warning for warning in data.info.warnings if "few distinct values" in warning)
    assert "'5' has 60, '10' has 65, '11' has 6" in few
    assert "data.dequantise=[11]" in few
    assert _table("wine-quality-red.txt.gz", dequantise=[11]).source.dequantised == (11,)


@pytest.mark.parametrize(
    ("path", "rows", "columns"),
    [
        ("power-plant.csv", 9_568, 5),
        ("protein.parquet", 45_730, 10),
        ("magic.npz", 19_020, 10),
        ("gas-sensor-drift.csv.gz", 2_565, 129),
        ("wine-quality-red.txt.gz", 1_599, 12),
    ],
)
def test_tables_score_the_same_gaussian_in_any_units(path: str, rows: int, columns: int) -> None:
    """Nats of the training Gaussian by numpy in standardised units, then back in the data's own.

    The units of published tables are standardised ones: log-densities differ by the sum of the
    columns' log-deviations.
    """
    data = _table(path)
    assert sum(data.info.sizes.values()) == rows
    assert data.info.event_shape == (columns,)
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert data.info.sizes[split] == pytest.approx(share * rows, abs=0.002 * rows + 1)
    train, test = _pixels(data, "train"), _pixels(data, "test")
    mean, deviation = train.mean(0), train.std(0)
    y, z = (train - mean) / deviation, (test - mean) / deviation
    covariance = y.T @ y / len(y)
    squares = (z * np.linalg.solve(covariance, z.T).T).sum(1)
    standardised = -0.5 * (squares.mean() + np.linalg.slogdet(2 * np.pi * covariance)[1])
    in_data_units = standardised - np.log(deviation).sum()
    assert baselines(data)["gaussian/test/nats"] == pytest.approx(in_data_units, abs=1e-2)


def test_magic_has_labels_beside_its_columns() -> None:
    data = _table("magic.npz")
    assert len(data.info.label_names) == 2
    assert sorted(np.bincount(np.concatenate([p.label for p in data.source.splits.values()]))) == [
        6_688,
        12_332,
    ]
