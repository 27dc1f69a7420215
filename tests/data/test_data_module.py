"""A data set opened: batches, hash, preprocessing, memory."""

import mmap

import numpy as np
import pytest
import torch

from flowbench.data.module import FlowData, open_data
from flowbench.spec.run import DataSpec


def _open(path, **keys) -> FlowData:
    return open_data(DataSpec(path=str(path), **keys), data_seed=keys.pop("data_seed", 0))


@pytest.fixture
def table(tmp_path, measurements):
    np.save(tmp_path / "t.npy", measurements)
    return tmp_path / "t.npy"


def test_an_epoch_of_training_batches_goes_through_the_split(table) -> None:
    data = open_data(DataSpec(path=str(table)), data_seed=0, batch_size=50)
    rows = [batch.row for batch in data.train_dataloader()]
    assert [len(row) for row in rows] == [50] * 6
    seen = torch.cat(rows).tolist()
    assert len(set(seen)) == 300
    assert set(seen) <= set(data.source.splits["train"].row.tolist())


def test_validation_batches_hold_every_row_once_in_order(table) -> None:
    data = open_data(DataSpec(path=str(table)), data_seed=0)
    (batch,) = data.val_dataloader()
    assert batch.row.tolist() == data.source.splits["validation"].row.tolist()
    original = np.load(table)[batch.row]
    assert np.array_equal(batch.x, original.astype(np.float32))


def test_batches_stop_at_the_limit(table) -> None:
    data = open_data(DataSpec(path=str(table)), data_seed=0)
    assert [len(batch) for batch in data.batches("train", 30, limit=70)] == [30, 30, 10]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_standardising_gives_mean_0_and_deviation_1_on_training_data(tmp_path, dtype) -> None:
    """Thousands of rows far from zero, so that several batches are joined."""
    x = np.random.default_rng(0).standard_normal((9000, 2)) * [1e-3, 50] + [400, -7]
    np.save(tmp_path / "t.npy", x)
    data = open_data(DataSpec(path=str(tmp_path / "t.npy")), data_seed=0, dtype=dtype)
    train = torch.cat([batch.x for batch in data.batches("train")])
    assert train.dtype == dtype
    (standardise,) = data.preprocess().sequence
    exact = train.double().numpy()
    digits = 1e-6 if dtype == torch.float32 else 1e-12
    assert np.allclose(standardise.mean, exact.mean(0), rtol=digits)
    assert np.allclose(standardise.std, exact.std(0), rtol=digits)


def test_standardising_after_a_logit_is_fitted_in_its_coordinates() -> None:
    steps = [
        {"name": "scale", "low": 0, "high": 17},
        {"name": "logit", "lam": 0.01},
        {"name": "standardise"},
    ]
    data = open_data(DataSpec(name="digits", preprocess=steps), data_seed=0)
    y = data.preprocess().encode_map(torch.cat([batch.x for batch in data.batches("train")]))
    assert y.mean(0).abs().max() < 1e-4
    assert (y.std(0, correction=0) - 1).abs().max() < 1e-4


def test_a_preprocessing_handed_out_is_a_copy(table) -> None:
    data = open_data(DataSpec(path=str(table)), data_seed=0)
    data.preprocess().double()
    assert {buffer.dtype for buffer in data.preprocess().buffers()} == {torch.float32}


def test_the_hash_tells_values_splits_and_contexts_apart(table, tmp_path) -> None:
    x = np.load(table)
    first = _open(table).info.content_hash
    np.savez(tmp_path / "same.npz", x)
    assert _open(tmp_path / "same.npz").info.content_hash == first
    x[37, 2] = np.nextafter(x[37, 2], 1)
    np.save(tmp_path / "touched.npy", x)
    others = [
        _open(tmp_path / "touched.npy"),
        _open(table, context=["1"]),
        _open(table, train_size=0.5),
        open_data(DataSpec(path=str(table)), data_seed=1),
    ]
    assert len({first, *(data.info.content_hash for data in others)}) == 5


def test_shares_of_the_training_split_are_nested_and_leave_the_others_alone(table) -> None:
    whole, half, tenth = (_open(table, train_size=size) for size in (1.0, 0.5, 32))
    assert half.info.sizes == {"train": 160, "validation": 40, "test": 40}
    rows = [set(data.source.splits["train"].row.tolist()) for data in (tenth, half, whole)]
    assert rows[0] < rows[1] < rows[2]
    assert len(rows[0]) == 32
    for split in ("validation", "test"):
        assert np.array_equal(half.source.splits[split].row, whole.source.splits[split].row)


def _mapped(array: np.ndarray) -> bool:
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def test_an_array_of_images_stays_in_its_file(tmp_path) -> None:
    """Splits, a share and channels-last order are views: a batch is all that is read."""
    x = np.random.default_rng(0).integers(0, 256, (200, 6, 6, 3), dtype=np.uint8)
    np.save(tmp_path / "t.npy", x)
    data = _open(tmp_path / "t.npy", train_size=0.5)
    for part in data.source.splits.values():
        assert _mapped(part.pool.x)
    batch = data.split("train")[[3, 0]]
    assert np.array_equal(batch.x, x[batch.row].transpose(0, 3, 1, 2))


def test_published_images_stay_bytes_and_are_shared_by_the_splits(few_digits) -> None:
    data = open_data(DataSpec(name="mnist"), data_seed=0)
    train, validation = (data.source.splits[split].pool.x for split in ("train", "validation"))
    assert train.dtype == np.uint8
    assert np.shares_memory(train, validation)
    assert data.split("train")[[0]].x.dtype == torch.float32
