"""The MAF suite from small files in its archive's layout, prepared as published."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from flowbench.data.module import FlowData, open_data
from flowbench.errors import InputError
from flowbench.spec.run import DataSpec


@pytest.fixture(params=["maf", "maf/data"])
def suite(tmp_path, monkeypatch, request) -> Path:
    """The folder in which the suite is looked for."""
    monkeypatch.setenv("FLOWBENCH_DATA", str(tmp_path))
    return tmp_path / request.param


def _open(name: str) -> FlowData:
    return open_data(DataSpec(name=name), data_seed=0)


def _values(data: FlowData) -> dict[str, np.ndarray]:
    return {split: part.take(slice(None)).x for split, part in data.source.splits.items()}


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True)
    np.save(path, array)


def test_miniboone_is_cut_from_the_end_and_in_units_of_the_rest(suite) -> None:
    table = np.random.default_rng(0).standard_normal((137, 43)) * 50 + 3
    _save(suite / "miniboone" / "data.npy", table)
    data = _open("miniboone")
    assert data.info.sizes == {"train": 112, "validation": 12, "test": 13}
    x = _values(data)
    rest = np.concatenate([x["train"], x["validation"]])
    assert np.allclose(rest.mean(0), 0, atol=1e-6)
    assert np.allclose(rest.std(0), 1, atol=1e-6)
    expected = (table[-13:] - table[:124].mean(0)) / table[:124].std(0)
    assert np.allclose(x["test"], expected, atol=1e-5)
    assert x["test"].dtype == np.float32


def test_power_drops_two_columns_and_adds_noise_of_the_published_size(suite) -> None:
    """Columns hold their own number plus the row's, so that each can be followed."""
    rows = np.arange(1000.0)[:, None]
    table = 1000 * np.arange(8) + rows
    _save(suite / "power" / "data.npy", table)
    data = _open("power")
    assert data.info.sizes == {"train": 810, "validation": 90, "test": 100}
    assert data.info.event_shape == (6,)
    assert "noise" in data.info.warnings[0]
    x = np.concatenate(list(_values(data).values())).astype(np.float64)
    # The last column is free of noise: it tells row from row, and the units of all.
    order = np.argsort(x[:, -1])
    assert not np.array_equal(order, np.arange(1000))  # shuffled
    scale = 999 / np.ptp(x[:, -1])
    steps = np.diff(x[order] * scale, axis=0) - 1
    # Column deviations differ by the noise's alone, less than 1e-3 of them.
    spread = steps.std(0)
    assert spread[5] < 1e-3
    assert spread[1] == pytest.approx(0.01 / np.sqrt(6), rel=0.15)
    assert spread[2:5] == pytest.approx(1 / np.sqrt(6), rel=0.15)
    assert np.array_equal(_values(_open("power"))["test"], _values(data)["test"])


def test_hepmass_keeps_signal_events_and_continuous_columns(suite) -> None:
    generator = np.random.default_rng(0)
    parts = {}
    for name, count in (("train", 400), ("test", 100)):
        features = generator.standard_normal((count, 4))
        features[:, 2] = np.round(features[:, 2])
        features[:, 2] = features[:, 2].clip(-1)  # the smallest value comes up again and again
        frame = pd.DataFrame(features, columns=["f0", "f1", "f2", "f3"])
        frame.insert(0, "# label", np.arange(count) % 2)
        if name == "test":
            frame["mass"] = 1000.0
        parts[name] = frame
        (suite / "hepmass").mkdir(parents=True, exist_ok=True)
        frame.to_csv(suite / "hepmass" / f"1000_{name}.csv", index=False)
    data = _open("hepmass")
    assert data.info.sizes == {"train": 180, "validation": 20, "test": 50}
    signal = parts["train"].iloc[1::2][["f0", "f1", "f3"]]
    expected = (parts["test"].iloc[1::2][["f0", "f1", "f3"]] - signal.mean()) / signal.std()
    assert np.allclose(_values(data)["test"], expected, atol=1e-5)


def test_bsds300_keeps_the_parts_of_its_file(suite) -> None:
    generator = np.random.default_rng(0)
    parts = {name: generator.standard_normal((n, 63)) for name, n in (("train", 9), ("test", 4))}
    parts["validation"] = generator.standard_normal((5, 63))
    (suite / "BSDS300").mkdir(parents=True)
    with h5py.File(suite / "BSDS300" / "BSDS300.hdf5", "w") as file:
        for name, values in parts.items():
            file[name] = values
    data = _open("bsds300")
    assert data.info.sizes == {"train": 9, "validation": 5, "test": 4}
    assert np.allclose(_values(data)["validation"], parts["validation"], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "file"),
    [("bsds300", "BSDS300/BSDS300.hdf5"), ("miniboone", "miniboone/data.npy")],
)
def test_a_broken_file_of_the_suite_is_named(suite, name: str, file: str) -> None:
    (suite / file).parent.mkdir(parents=True)
    (suite / file).write_bytes(b"not what it should be")
    with pytest.raises(InputError, match=Path(file).name):
        _open(name)


def test_a_power_file_with_other_columns_is_refused(suite) -> None:
    _save(suite / "power" / "data.npy", np.zeros((100, 7)))
    with pytest.raises(InputError, match=r"shape \(100, 7\); a table of 8 columns"):
        _open("power")


def test_gas_is_refused_for_it_is_a_pickle(suite) -> None:
    with pytest.raises(InputError, match=r"published only as a pickle .* which is never loaded"):
        _open("gas")
