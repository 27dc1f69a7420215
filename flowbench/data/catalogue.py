"""Data sets by name: what each is, its split and its default preprocessing."""

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flowbench.data.densities import DENSITIES, Density
from flowbench.data.downloads import (
    CIFAR,
    CIFAR_ARCHIVE,
    CIFAR_SHA256,
    FASHION,
    MNIST,
    data_home,
    fetch,
    idx_files,
)
from flowbench.data.images import read_cifar, read_idx_pair
from flowbench.data.source import Rows, Source
from flowbench.errors import InputError
from flowbench.spec.vocabulary import Split

DENSITY_SIZES: dict[Split, int] = {"train": 65_536, "validation": 10_000, "test": 100_000}
"""At 100,000 points the excess over the entropy has a standard error below 1e-3 nats."""

DIGITS_SIZES: dict[Split, int] = {"train": 1257, "validation": 180, "test": 360}


@dataclass(frozen=True)
class DataSet:
    """A data set known by name; `load` takes the data seed."""

    name: str
    summary: str
    load: Callable[[int], Source]


def image_steps(levels: int, lam: float) -> tuple[dict[str, Any], ...]:
    """Return the preprocessing of images: to the unit interval, then a logit."""
    return (
        {"name": "scale", "low": 0, "high": levels},
        {"name": "logit", "lam": lam},
    )


def _density(density: Density) -> Callable[[int], Source]:
    def load(data_seed: int) -> Source:
        splits: dict[Split, Rows] = {}
        row, start = {}, 0
        for i, (split, size) in enumerate(DENSITY_SIZES.items()):
            drawn = density.sample(size, seed=3 * data_seed + i).astype(np.float32)
            splits[split] = Rows(drawn)
            row[split] = np.arange(start, start + size)
            start += size
        return Source(density.name, "density", splits, row, columns=("x1", "x2"), density=density)

    return load


def _parts(rows: Rows, index: dict[Split, Any]) -> dict[Split, Rows]:
    return {split: rows.take(where) for split, where in index.items()}


def _digits(data_seed: int) -> Source:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    rows = Rows(bunch.images.astype(np.uint8)[:, None], label=bunch.target.astype(np.int64))
    order = np.random.default_rng(data_seed).permutation(len(rows))
    edges = np.cumsum([DIGITS_SIZES["train"], DIGITS_SIZES["validation"]])
    row = dict(zip(DIGITS_SIZES, map(np.sort, np.split(order, edges)), strict=True))
    names = tuple(map(str, range(10)))
    steps = image_steps(17, 0.01)
    return Source(
        "digits", "image", _parts(rows, row), row, 17, preprocess=steps, label_names=names
    )


def _published(
    name: str, train: Rows, test: Rows, validation: int, lam: float, data_seed: int
) -> Source:
    """Hold out `validation` training rows by the data seed; the published test set stays whole."""
    order = np.random.default_rng(data_seed).permutation(len(train))
    row: dict[Split, Any] = {
        "train": np.sort(order[validation:]),
        "validation": np.sort(order[:validation]),
    }
    splits = {**_parts(train, row), "test": test}
    row["test"] = len(train) + np.arange(len(test))
    return Source(name, "image", splits, row, 256, preprocess=image_steps(256, lam))


def _idx(name: str, folder: str, base: str) -> Callable[[int], Source]:
    def load(data_seed: int) -> Source:
        files = idx_files(folder, base)
        train, test = read_idx_pair(*files[:2]), read_idx_pair(*files[2:])
        held_out = max(1, len(train) // 12)  # 5,000 of 60,000
        return _published(name, train, test, held_out, 1e-6, data_seed)

    return load


def _cifar(data_seed: int) -> Source:
    folder = _cifar_folder()
    train = read_cifar(sorted(folder.glob("data_batch_*.bin")))
    test = read_cifar([folder / "test_batch.bin"])
    return _published("cifar10", train, test, max(1, len(train) // 10), 0.05, data_seed)


def _cifar_folder() -> Path:
    home = data_home()
    places = ("cifar-10-batches-bin", "cifar10", "CIFAR10", "cifar10/cifar-10-batches-bin")
    for place in places if home else ():
        if (home / place / "test_batch.bin").is_file():  # type: ignore[operator]
            return home / place  # type: ignore[operator]
    archive = fetch(CIFAR + CIFAR_ARCHIVE, CIFAR_SHA256)
    folder = archive.parent / "cifar-10-batches-bin"
    if not (folder / "test_batch.bin").is_file():
        with tarfile.open(archive) as packed:
            packed.extractall(archive.parent, filter="data")
    return folder


DATA_SETS: dict[str, DataSet] = {
    **{
        name: DataSet(name, f"2-D density, entropy {d.entropy:.4f} nats", _density(d))
        for name, d in DENSITIES.items()
    },
    "digits": DataSet("digits", "1,797 handwritten digits, 8x8, 17 levels", _digits),
    "mnist": DataSet("mnist", "MNIST, 28x28 grey", _idx("mnist", "MNIST", MNIST)),
    "fashion-mnist": DataSet(
        "fashion-mnist", "Fashion-MNIST, 28x28 grey", _idx("fashion-mnist", "FashionMNIST", FASHION)
    ),
    "cifar10": DataSet("cifar10", "CIFAR-10, 3x32x32 colour", _cifar),
}


def named(name: str, data_seed: int) -> Source:
    """Load a data set by name.

    Raises:
        InputError: for an unknown name, or files that cannot be had.
    """
    if name not in DATA_SETS:
        raise InputError(f"data.name = {name!r}; allowed: {', '.join(DATA_SETS)}")
    return DATA_SETS[name].load(data_seed)
