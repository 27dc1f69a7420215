"""IDX files, CIFAR-10's records and folders of pictures."""

import gzip
import struct

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from flowbench.data.images import as_images, read_cifar, read_folder, read_idx, read_idx_pair
from flowbench.data.module import open_data
from flowbench.errors import InputError
from flowbench.spec.run import DataSpec

DIGITS = load_digits().images.astype(np.uint8)


def _idx(array: np.ndarray, kind: int = 0x08) -> bytes:
    return (
        bytes([0, 0, kind, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + (array.tobytes())
    )


@pytest.mark.parametrize("name", ["x-idx3-ubyte", "x-idx3-ubyte.gz"])
def test_idx_files_are_read_packed_or_not(tmp_path, name: str) -> None:
    content = _idx(DIGITS)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert np.array_equal(read_idx(tmp_path / name), DIGITS)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"<html>not found</html>", "not an IDX file of bytes .it starts with 3c68746d"),
        (_idx(DIGITS[:2].astype(">f4"), 0x0D), "not an IDX file of bytes"),
        (_idx(DIGITS[:2])[:-5], r"123 bytes of 128 announced for \(2, 8, 8\)"),
        (_idx(DIGITS[:2]) + b"more", r"132 bytes of 128 announced"),
        (_idx(DIGITS)[:9], "truncated in its header"),
        (b"", "not an IDX file"),
    ],
)
def test_broken_idx_files_are_named(tmp_path, content: bytes, complaint: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match=rf"x: {complaint}"):
        read_idx(tmp_path / "x")


def test_a_truncated_gzip_file_is_named(tmp_path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(_idx(DIGITS))[:-20])
    with pytest.raises(InputError, match=r"x.gz: not a gzip file"):
        read_idx(tmp_path / "x.gz")


def test_images_and_labels_of_different_length_are_refused(tmp_path) -> None:
    (tmp_path / "x").write_bytes(_idx(DIGITS[:5]))
    (tmp_path / "y").write_bytes(_idx(np.arange(4, dtype=np.uint8)))
    with pytest.raises(InputError, match=r"shape \(5, 8, 8\) does not fit labels of shape \(4,\)"):
        read_idx_pair(tmp_path / "x", tmp_path / "y")


def test_the_few_digits_open_under_their_official_names(few_digits) -> None:
    data = open_data(DataSpec(name="mnist"), data_seed=0)
    assert data.info.event_shape == (1, 28, 28)
    assert data.info.sizes == {"train": 275, "validation": 25, "test": 100}
    test = data.split("test")[list(range(5))]
    assert test.label is not None
    assert test.label.tolist() == [7, 2, 1, 0, 4]  # the first of the published test set
    assert test.row.tolist() == [300, 301, 302, 303, 304]


def _records(count: int) -> bytes:
    generator = np.random.default_rng(count)
    labels = np.arange(count, dtype=np.uint8)[:, None] % 10
    pixels = generator.integers(0, 256, (count, 3072), dtype=np.uint8)
    return np.concatenate([labels, pixels], axis=1).tobytes()


def test_cifar_records_hold_a_label_and_three_planes(tmp_path) -> None:
    (tmp_path / "one.bin").write_bytes(_records(3))
    (tmp_path / "two.bin").write_bytes(_records(2))
    rows = read_cifar([tmp_path / "one.bin", tmp_path / "two.bin"])
    assert rows.x.shape == (5, 3, 32, 32)
    assert rows.label is not None
    assert rows.label.tolist() == [0, 1, 2, 0, 1]
    raw = np.frombuffer(_records(3), np.uint8).reshape(3, 3073)
    assert rows.x[1, 2, 4, 7] == raw[1, 1 + 2 * 1024 + 4 * 32 + 7]


@pytest.mark.parametrize("size", [0, 3072, 3 * 3073 + 1])
def test_a_broken_cifar_file_is_named(tmp_path, size: int) -> None:
    (tmp_path / "one.bin").write_bytes(bytes(size))
    with pytest.raises(InputError, match=rf"one.bin: {size} bytes; a whole number of 3073-byte"):
        read_cifar([tmp_path / "one.bin"])


def test_cifar_opens_by_name_and_by_its_folder(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for i in range(1, 6):
        (folder / f"data_batch_{i}.bin").write_bytes(_records(20 - i))
    (folder / "test_batch.bin").write_bytes(_records(11))
    monkeypatch.setenv("FLOWBENCH_DATA", str(tmp_path))
    named = open_data(DataSpec(name="cifar10"), data_seed=0)
    assert named.info.sizes == {"train": 77, "validation": 8, "test": 11}
    assert named.info.label_names[3] == "cat"
    own = open_data(DataSpec(path=str(folder)), data_seed=0)
    assert sum(own.info.sizes.values()) == 96
    assert own.info.event_shape == (3, 32, 32)


@pytest.mark.parametrize(
    "shape", [(9, 5, 4), (9, 1, 5, 4), (9, 3, 5, 4), (9, 5, 4, 1), (9, 5, 4, 3)]
)
def test_arrays_of_images_become_channels_first(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    images = as_images(array, "a.npy")
    assert images.shape == (9, 3 if 3 in shape else 1, 5, 4)
    assert np.shares_memory(images, array)
    last = images[4, -1, 2, 3]
    assert last == (array[4, 2, 3, -1] if shape[-1] in (1, 3) else array[4, ..., 2, 3].flat[-1])


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.zeros((4, 5, 5)), "dtype float64; images are arrays of uint8"),
        (np.zeros((4, 5, 5, 2), np.uint8), r"shape \(4, 5, 5, 2\); images are"),
        (np.zeros((0, 5, 5), np.uint8), r"shape \(0, 5, 5\); at least one image"),
    ],
)
def test_arrays_that_are_no_images_are_refused(array: np.ndarray, complaint: str) -> None:
    with pytest.raises(InputError, match=f"a.npy: {complaint}"):
        as_images(array, "a.npy")


def test_a_folder_of_grey_pictures_labels_them_by_sub_folder(write_pictures) -> None:
    folder = write_pictures(["cat/1.png", "cat/2.png", "ant/1.bmp", "loose.png", ".hidden.png"])
    rows, names = read_folder(folder)
    assert rows.x.shape == (4, 1, 5, 6)
    assert names == ("ant", "cat")
    assert rows.label is not None
    assert rows.label.tolist() == [0, 1, 1, -1]
    with Image.open(folder / "cat" / "2.png") as picture:
        assert np.array_equal(rows.x[2, 0], np.asarray(picture))


def test_one_picture_in_colour_makes_all_three_channels(write_pictures) -> None:
    write_pictures(["a.png"])
    folder = write_pictures(["b.png"], mode="RGB")
    rows, _ = read_folder(folder)
    assert rows.x.shape == (2, 3, 5, 6)
    assert (rows.x[0, 0] == rows.x[0, 2]).all()
    assert (rows.x[1, 0] != rows.x[1, 2]).any()


def test_the_picture_of_another_size_is_named(write_pictures) -> None:
    write_pictures(["a.png", "b.png"])
    folder = write_pictures(["c.png"], size=(7, 5))
    with pytest.raises(InputError, match=r"c.png: 7x5 pixels where a.png has 6x5; all pictures"):
        read_folder(folder)


def test_what_is_no_picture_is_named(write_pictures) -> None:
    folder = write_pictures(["a.png"])
    (folder / "b.png").write_bytes(b"text")
    with pytest.raises(InputError, match=r"b.png: not a picture"):
        read_folder(folder)
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:-25])
    with pytest.raises(InputError, match=r"b.png: not a picture"):
        read_folder(folder)


def test_deep_and_transparent_pictures_are_refused_rather_than_clipped(write_pictures) -> None:
    folder = write_pictures(["a.png"])
    Image.fromarray(np.full((5, 6), 40_000, np.uint16)).save(folder / "b.png")
    with pytest.raises(InputError, match=r"b.png: more than 8 bits a pixel"):
        read_folder(folder)
    Image.new("RGBA", (6, 5), (10, 20, 30, 200)).save(folder / "b.png")
    with pytest.raises(InputError, match=r"b.png: transparent pixels"):
        read_folder(folder)
    Image.new("RGBA", (6, 5), (10, 20, 30, 255)).save(folder / "b.png")
    assert read_folder(folder)[0].x[1, :, 0, 0].tolist() == [10, 20, 30]


def test_a_folder_without_pictures_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match=r"no picture \(.png, .jpg"):
        read_folder(tmp_path)
