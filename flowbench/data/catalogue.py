"""Data sets by name: what each is, its split and its default preprocessing."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from flowbench.data import maf
from flowbench.data.densities import DENSITIES, Density
from flowbench.data.downloads import (
    CIFAR,
    CIFAR_CHECKSUM,
    FASHION,
    MNIST,
    fetch,
    find,
    idx_files,
    unpacked,
)
from flowbench.data.images import read_cifar, read_idx_pair
from flowbench.data.source import Index, Rows, Source, parts_as_given, parts_of_pool
from flowbench.errors import InputError
from flowbench.spec.vocabulary import Split

DENSITY_SIZES: dict[Split, int] = {"train": 65_536, "validation": 10_000, "test": 100_000}
"""At 100,000 points the excess over the entropy has a standard error below 1e-3 nats."""

DIGITS_SIZES: dict[Split, int] = {"train": 1257, "validation": 180, "test": 360}

DIGIT_NAMES = tuple("0123456789")
FASHION_NAMES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
CIFAR_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
CIFAR_FILES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")


@dataclass(frozen=True)
class DataSet:
    """A data set known by name; `load` takes the data seed."""

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
        splits = {
            split: Rows(density.sample(size, seed=3 * data_seed + i).astype(np.float32))
            for i, (split, size) in enumerate(DENSITY_SIZES.items())
        }
        return Source(
            density.name, "density", parts_as_given(splits), columns=("x1", "x2"), density=density
        )

    return load


def _digits(data_seed: int) -> Source:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    rows = Rows(bunch.images.astype(np.uint8)[:, None], label=bunch.target.astype(np.int64))
    order = np.random.default_rng(data_seed).permutation(len(rows))
    edges = np.cumsum([DIGITS_SIZES["train"], DIGITS_SIZES["validation"]])
    index: dict[Split, Index] = {
        split: np.sort(part)
        for split, part in zip(DIGITS_SIZES, np.split(order, edges), strict=True)
    }
    return Source(
        "digits",
        "image",
        parts_of_pool(rows, index),
        levels=17,
        preprocess=image_steps(17, 0.01),
        label_names=DIGIT_NAMES,
    )


def _published(
    name: str,
    train: Rows,
    test: Rows,
    *,
    hold_out: int,
    lam: float,
    label_names: tuple[str, ...],
    data_seed: int,
) -> Source:
    """Hold out every `hold_out`-th part of the training rows; the test set stays as published."""
    order = np.random.default_rng(data_seed).permutation(len(train))
    validation = max(1, len(train) // hold_out)
    parts = parts_as_given({"train": train, "test": test})
    return Source(
        name,
        "image",
        {
            "train": parts["train"].only(np.sort(order[validation:])),
            "validation": parts["train"].only(np.sort(order[:validation])),
            "test": parts["test"],
        },
        levels=256,
        preprocess=image_steps(256, lam),
        label_names=label_names,
    )


def _idx(name: str, folder: str, base: str, words: tuple[str, ...]) -> Callable[[int], Source]:
    def load(data_seed: int) -> Source:
        files = idx_files(folder, base)
        return _published(
            name,
            read_idx_pair(*files[:2]),
            read_idx_pair(*files[2:]),
            hold_out=12,  # 5,000 of 60,000
            lam=1e-6,
            label_names=words,
            data_seed=data_seed,
        )

    return load


def _cifar(data_seed: int) -> Source:
    files = _cifar_files()
    return _published(
        "cifar10",
        read_cifar(files[:-1]),
        read_cifar(files[-1:]),
        hold_out=10,  # 5,000 of 50,000
        lam=0.05,
        label_names=CIFAR_NAMES,
        data_seed=data_seed,
    )


def _cifar_files() -> list[Path]:
    """Return the six binary batches, fetched where they are not at hand."""
    found = find(("cifar-10-batches-bin", "cifar10/cifar-10-batches-bin", "cifar10"), CIFAR_FILES)
    if found:
        return found
    members = [f"cifar-10-batches-bin/{name}" for name in CIFAR_FILES]
    folder = unpacked(fetch(CIFAR, CIFAR_CHECKSUM, "cifar-10-batches-bin"), members)
    return [folder / member for member in members]


DATA_SETS: dict[str, DataSet] = {
    **{
        name: DataSet(f"2-D density, entropy {d.entropy:.4f} nats", _density(d))
        for name, d in DENSITIES.items()
    },
    "digits": DataSet("1,797 handwritten digits, 8x8, 17 levels", _digits),
    "mnist": DataSet("MNIST, 28x28 grey", _idx("mnist", "MNIST", MNIST, DIGIT_NAMES)),
    "fashion-mnist": DataSet(
        "Fashion-MNIST, 28x28 grey", _idx("fashion-mnist", "FashionMNIST", FASHION, FASHION_NAMES)
    ),
    "cifar10": DataSet("CIFAR-10, 3x32x32 colour", _cifar),
    "power": DataSet("MAF suite: household power, 6 columns", lambda _: maf.power()),
    "gas": DataSet("MAF suite: refused, it is published as a pickle", lambda _: maf.gas()),
    "hepmass": DataSet("MAF suite: particle collisions, 21 columns", lambda _: maf.hepmass()),
    "miniboone": DataSet("MAF suite: neutrino events, 43 columns", lambda _: maf.miniboone()),
    "bsds300": DataSet("MAF suite: 8x8 image patches, 63 columns", lambda _: maf.bsds300()),
}


def named(name: str, data_seed: int) -> Source:
    """Load a data set by name.

    Raises:
        InputError: for an unknown name, or files that cannot be had.
    """
    refuse_unknown(name)
    return DATA_SETS[name].load(data_seed)


def refuse_unknown(name: str) -> None:
    """Refuse a name that no data set has, before anything is loaded.

    Raises:
        InputError: with the names that there are.
    """
    if name not in DATA_SETS:
        near = get_close_matches(name, DATA_SETS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(f"data.name = {name!r}: unknown{hint}; allowed: {', '.join(DATA_SETS)}")
