"""A user's own files as a data set: tables, arrays of images, folders of pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flowbench.data.arrays import read_array, read_labels
from flowbench.data.catalogue import image_steps
from flowbench.data.downloads import data_home
from flowbench.data.images import as_images, read_cifar, read_folder
from flowbench.data.source import Rows, Source
from flowbench.data.splits import group_of_rows, join_groups, split_rows
from flowbench.data.tables import is_pickle, numeric, read_table
from flowbench.data.warnings import table_warnings
from flowbench.errors import InputError
from flowbench.spec.run import DataSpec
from flowbench.spec.vocabulary import Split

IMAGE_LAMBDA = 0.05
"""Logit lambda of natural images, as published for CIFAR-10 (Dinh et al. 2017)."""


def locate(text: str, key: str = "data.path") -> Path:
    """Return the file or folder: as given, else under `FLOWBENCH_DATA` or its `tabular/`.

    Raises:
        InputError: if there is none, or it is a pickle.
    """
    home = data_home()
    places = [Path(text)]
    if home is not None and not Path(text).is_absolute():
        places += [home / text, home / "tabular" / text]
    for place in places:
        if place.is_dir():
            return place
        if place.is_file():
            if is_pickle(place):
                raise InputError(f"{key} = {text}: a pickle, which is never loaded; convert it")
            if place.stat().st_size == 0:
                raise InputError(f"{key} = {text}: empty file")
            return place
    raise InputError(f"{key} = {text}: no such file or folder")


def from_files(spec: DataSpec, data_seed: int) -> Source:
    """Read what `data.path`, or `data.train`, `validation` and `test`, name.

    Raises:
        InputError: for whatever is wrong with a file, by column and row.
    """
    keys: tuple[Split, ...] = ("train", "validation", "test")
    given = {split: getattr(spec, split) for split in keys} if spec.train else {"path": spec.path}
    paths = {key: locate(str(text), f"data.{key}") for key, text in given.items()}
    name = next(iter(paths.values())).name.split(".")[0]
    if all(_holds_images(path, spec.key) for path in paths.values()):
        return _image_source(name, paths, spec, data_seed)
    return _table_source(name, paths, spec, data_seed)


def _holds_images(path: Path, key: str | None) -> bool:
    if path.is_dir():
        return True
    return path.suffix in (".npy", ".npz") and read_array(path, key).ndim > 2


def _read_images(path: Path, key: str | None) -> tuple[Rows, tuple[str, ...]]:
    if path.is_dir():
        records = sorted(path.glob("*.bin"))
        return (read_cifar(records), ()) if records else read_folder(path)
    labels = read_labels(path)
    x = as_images(read_array(path, key), str(path))
    return Rows(x, label=None if labels is None else labels.astype(np.int64)), ()


def _image_source(name: str, paths: dict[str, Path], spec: DataSpec, data_seed: int) -> Source:
    for key in ("context", "group", "label", "dequantise", "drop_columns"):
        if getattr(spec, key):
            raise InputError(f"data.{key}: for tables only; {name} holds images")
    parts = {key: _read_images(path, spec.key) for key, path in paths.items()}
    shapes = {key: rows.x.shape[1:] for key, (rows, _) in parts.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(f"{name}: the parts' images differ in shape: {shapes}")
    words = next(iter(parts.values()))[1]
    splits, row = _divide({key: rows for key, (rows, _) in parts.items()}, data_seed, None)
    steps = image_steps(256, IMAGE_LAMBDA)
    return Source(name, "image", splits, row, 256, preprocess=steps, label_names=words)


def _table_source(name: str, paths: dict[str, Path], spec: DataSpec, data_seed: int) -> Source:
    frames = []
    for key, path in paths.items():
        if path.is_dir():
            raise InputError(f"data.{key} = {path}: a folder beside tables")
        frame = read_table(path, spec.key)
        labels = read_labels(path)
        if labels is not None and len(labels) == len(frame) and spec.label is None:
            frame["y"] = labels
        frames.append(frame)
    source = ", ".join(str(path) for path in paths.values())
    if any(list(frame.columns) != list(frames[0].columns) for frame in frames):
        raise InputError(f"{source}: the files' columns differ")
    label = spec.label or ("y" if read_labels(next(iter(paths.values()))) is not None else None)
    whole = pd.concat(frames, keys=list(paths), names=["part", "row"])
    chosen = _Columns(whole, spec, label, source)
    rows = {key: chosen.rows.take(np.flatnonzero(chosen.part == key)) for key in paths}
    groups = join_groups(group_of_rows(chosen.joint), chosen.group) if spec.path else None
    splits, row = _divide(rows, data_seed, groups)
    return Source(
        name,
        "table",
        splits,
        row,
        dequantised=chosen.integers(spec.dequantise),
        columns=chosen.names,
        label_names=chosen.label_names,
        warnings=tuple(table_warnings(chosen.rows.x, chosen.names, chosen.joint)),
    )


class _Columns:
    """The columns of a table by their use: modelled, context, label, group."""

    def __init__(self, frame: pd.DataFrame, spec: DataSpec, label: str | None, source: str) -> None:
        single = {"label": label, "group": spec.group}
        for key, names in (
            ("drop_columns", spec.drop_columns),
            ("context", spec.context),
            *((key, [name] if name else []) for key, name in single.items()),
        ):
            for name in names:
                if name not in frame.columns:
                    known = ", ".join(frame.columns)
                    raise InputError(
                        f"{source}: data.{key} = {name}: no such column; it has {known}"
                    )
        aside = {*spec.drop_columns, *spec.context, label, spec.group}
        modelled = [column for column in frame.columns if column not in aside]
        if not modelled:
            raise InputError(f"{source}: no column is left to model")
        values = numeric(
            frame[[*modelled, *spec.context]].reset_index(drop=True),
            source,
            drop_rows=spec.drop_rows,
        )
        kept = frame.iloc[values.index]
        codes, words = pd.factorize(kept[label], sort=True) if label else (None, [])
        context = values[spec.context].to_numpy() if spec.context else None
        self.rows = Rows(values[modelled].to_numpy(), context, codes)
        self.names = tuple(modelled)
        self.label_names = tuple(map(str, words))
        self.part = kept.index.get_level_values("part").to_numpy()
        self.joint = values.to_numpy()
        self.group = (
            pd.factorize(kept[spec.group])[0].astype(np.int64)
            if spec.group
            else np.arange(len(kept))
        )
        self.source = source

    def integers(self, wanted: list[str] | bool | None) -> tuple[int, ...] | None:
        """Return the coordinates to dequantise; refuse a column that holds fractions."""
        if not wanted:
            return None
        whole = [bool((column == np.round(column)).all()) for column in self.rows.x.T]
        if wanted is True:
            return tuple(i for i, integral in enumerate(whole) if integral)
        for name in wanted:
            if name not in self.names:
                raise InputError(f"{self.source}: data.dequantise = {name}: no such column")
            if not whole[self.names.index(name)]:
                raise InputError(f"{self.source}: data.dequantise = {name}: holds fractions")
        return tuple(self.names.index(name) for name in wanted)


def _divide(
    rows: dict[str, Rows], data_seed: int, groups: Any
) -> tuple[dict[Split, Rows], dict[Split, Any]]:
    """Split one pool, or take three given parts as they are; number the rows through."""
    if "path" in rows:
        pool = rows["path"]
        row = split_rows(group_of_rows(pool.x) if groups is None else groups, data_seed)
        empty = [split for split, index in row.items() if not len(index)]
        if empty:
            raise InputError(f"{len(pool)} rows are too few to split 80/10/10: {empty} is empty")
        return {split: pool.take(index) for split, index in row.items()}, row
    starts = np.cumsum([0, *(len(part) for part in rows.values())])
    row = {
        split: np.arange(start, start + len(part))
        for (split, part), start in zip(rows.items(), starts, strict=False)
    }
    return rows, row  # type: ignore[return-value]
