"""A user's images: an array, a folder of pictures, or CIFAR-10's binary records."""

from pathlib import Path

import numpy as np
import pandas as pd

from flowbench.data.arrays import read_array, read_labels
from flowbench.data.catalogue import image_steps
from flowbench.data.images import as_images, read_cifar, read_folder
from flowbench.data.source import Part, Rows, Source, parts_as_given, parts_of_pool
from flowbench.data.splits import groups_of, row_keys, split_rows
from flowbench.data.warnings import duplicates, leaks
from flowbench.errors import InputError
from flowbench.spec.run import DataSpec
from flowbench.spec.vocabulary import Split

LAMBDA = 0.05
"""Logit lambda of natural images, as published for CIFAR-10 (Dinh et al. 2017)."""


def image_source(name: str, paths: dict[str, Path], spec: DataSpec, data_seed: int) -> Source:
    """Read images and split them, duplicates together; or take three parts as they are.

    Args:
        name: of the data set.
        paths: by `path`, or by `train`, `validation` and `test`.
        spec: the keys beside the paths.
        data_seed: decides the split.

    Raises:
        InputError: for a key that is for tables, or images of different shapes.
    """
    for key in ("context", "group", "label", "dequantise", "drop_columns"):
        if getattr(spec, key):
            raise InputError(f"data.{key}: for tables only; {name} holds images")
    read = {key: _read_images(path, spec.key) for key, path in paths.items()}
    shapes = {key: rows.x.shape[1:] for key, (rows, _) in read.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(f"{name}: the parts' images differ in shape: {shapes}")
    words = sorted({word for _, names in read.values() for word in names})
    pools = {key: _renumbered(rows, names, words) for key, (rows, names) in read.items()}
    keys = {key: row_keys(rows.x) for key, rows in pools.items()}
    splits: dict[Split, Part]
    if "path" in pools:
        groups = groups_of(keys["path"])
        splits = parts_of_pool(pools["path"], split_rows(groups, data_seed))
        warnings = duplicates(groups, "image")
    else:
        splits = parts_as_given({split: pools[split] for split in ("train", "validation", "test")})
        warnings = leaks(keys, "image")
    return Source(
        name,
        "image",
        splits,
        levels=256,
        preprocess=image_steps(256, LAMBDA),
        label_names=tuple(words),
        warnings=tuple(warnings),
    )


def _read_images(path: Path, key: str | None) -> tuple[Rows, tuple[str, ...]]:
    """Return images with the words behind their labels."""
    if path.is_dir():
        records = sorted(path.glob("*.bin"))
        return (read_cifar(records), ()) if records else read_folder(path)
    x = as_images(read_array(path, key), str(path))
    labels = read_labels(path, len(x))
    if labels is None:
        return Rows(x), ()
    if labels.dtype.kind in "iub":
        return Rows(x, label=labels.astype(np.int64)), ()
    codes, words = pd.factorize(labels, sort=True)
    return Rows(x, label=codes.astype(np.int64)), tuple(map(str, words))


def _renumbered(rows: Rows, names: tuple[str, ...], words: list[str]) -> Rows:
    """Number labels by the words of all parts: one part may lack a class."""
    if rows.label is None or not names:
        return rows
    # A picture outside every sub-folder has the label -1, the last entry here.
    number = np.array([*(words.index(name) for name in names), -1])
    return Rows(rows.x, label=number[rows.label])
