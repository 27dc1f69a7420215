"""A user's tables: which column is modelled, which conditions, labels or groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from flowbench.data.arrays import read_labels
from flowbench.data.source import Array, Index, Part, Rows, Source, parts_as_given, parts_of_pool
from flowbench.data.splits import groups_of, join_groups, row_keys, split_rows
from flowbench.data.tables import numeric, read_table, refuse_constant
from flowbench.data.warnings import duplicates, leaks, table_warnings
from flowbench.errors import InputError
from flowbench.spec.run import DataSpec
from flowbench.spec.vocabulary import Split

LARGEST_INTEGER = 1 << 20
"""Above it float32 has fewer than 8 levels of noise between an integer and the next."""

GIVEN: tuple[Split, ...] = ("train", "validation", "test")


def table_source(name: str, paths: dict[str, Path], spec: DataSpec, data_seed: int) -> Source:
    """Read tables and split them, duplicates and groups together; or take three parts as given.

    Args:
        name: of the data set.
        paths: by `path`, or by `train`, `validation` and `test`.
        spec: the keys beside the paths.
        data_seed: decides the split.

    Raises:
        InputError: for whatever is wrong with a file, by column and row.
    """
    frames, label = _read(paths, spec)
    source = ", ".join(str(path) for path in paths.values())
    if any(list(frame.columns) != list(frames[0].columns) for frame in frames):
        raise InputError(f"{source}: the files' columns differ")
    columns = _Columns.chosen(list(frames[0].columns), spec, label, source)
    used = [
        numeric(frame[columns.used], str(path), drop_rows=spec.drop_rows)
        for frame, path in zip(frames, paths.values(), strict=True)
    ]
    kept = pd.concat([frame.loc[part.index] for frame, part in zip(frames, used, strict=True)])
    values = pd.concat(used)
    refuse_constant(values, source)
    codes, words = pd.factorize(kept[label], sort=True) if label else (None, pd.Index([]))
    rows = Rows(
        values[columns.modelled].to_numpy(),
        values[columns.context].to_numpy() if columns.context else None,
        None if codes is None else codes.astype(np.int64),
    )
    keys = row_keys(values.to_numpy())
    splits: dict[Split, Part]
    if spec.path is not None:
        alike = groups_of(keys)
        groups = alike
        if spec.group is not None:
            groups = join_groups(alike, groups_of(pd.factorize(kept[spec.group])[0]))
        splits = parts_of_pool(rows, split_rows(groups, data_seed))
        about_rows = duplicates(alike, "row")
    else:
        bounds = np.cumsum([len(part) for part in used])[:-1]
        index = dict(zip(GIVEN, np.split(np.arange(len(rows)), bounds), strict=True))
        splits = parts_as_given({split: rows.take(where) for split, where in index.items()})
        about_rows = leaks({split: keys[where] for split, where in index.items()}, "row")
    train = pd.DataFrame(splits["train"].take(slice(None)).x, columns=columns.modelled)
    refuse_constant(train, f"{source} (training split)")
    return Source(
        name,
        "table",
        splits,
        dequantised=_integers(rows.x, columns.modelled, spec.dequantise, source),
        columns=tuple(columns.modelled),
        label_names=tuple(str(word) for word in words),
        warnings=(*about_rows, *table_warnings(rows.x, columns.modelled)),
    )


def _read(paths: dict[str, Path], spec: DataSpec) -> tuple[list[pd.DataFrame], str | None]:
    """Return the files' tables, and the column that holds labels where there is one."""
    frames, label = [], spec.label
    for key, path in paths.items():
        if path.is_dir():
            raise InputError(f"data.{key} = {path}: a folder beside tables")
        frame = read_table(path, spec.key)
        labels = read_labels(path, len(frame)) if spec.key != "y" else None
        if labels is not None:
            frame["y"] = labels
            label = label or "y"
        frames.append(frame)
    return frames, label


@dataclass(frozen=True)
class _Columns:
    """The columns of a table by their use."""

    modelled: list[str]
    context: list[str]

    @property
    def used(self) -> list[str]:
        """All that must be numbers."""
        return [*self.modelled, *self.context]

    @classmethod
    def chosen(cls, known: list[str], spec: DataSpec, label: str | None, source: str) -> _Columns:
        """Choose by the keys of the specification; every name must be there."""
        named = {
            "drop_columns": spec.drop_columns,
            "context": spec.context,
            "label": [label] if label else [],
            "group": [spec.group] if spec.group else [],
        }
        for key, names in named.items():
            for name in names:
                if name not in known:
                    raise InputError(
                        f"{source}: data.{key} = {name}: no such column; it has {', '.join(known)}"
                    )
        aside = {name for names in named.values() for name in names}
        modelled = [name for name in known if name not in aside]
        if not modelled:
            raise InputError(f"{source}: no column is left to model")
        return cls(modelled, list(spec.context))


def _integers(
    x: Array, columns: Sequence[str], wanted: list[str] | bool | None, source: str
) -> tuple[int, ...] | None:
    """Return the coordinates to dequantise; refuse fractions, and integers too large for noise."""
    if not wanted:
        return None
    whole: Index = np.flatnonzero((x == np.round(x)).all(0))
    if wanted is True:
        if not len(whole):
            raise InputError(f"{source}: data.dequantise = true: no column holds integers")
        wanted = [columns[i] for i in whole.tolist()]
    for name in wanted:
        if name not in columns:
            raise InputError(
                f"{source}: data.dequantise = {name}: not among the modelled columns, "
                f"{', '.join(columns)}"
            )
        if columns.index(name) not in whole:
            raise InputError(f"{source}: data.dequantise = {name}: it holds fractions")
        largest = np.abs(x[:, columns.index(name)]).max()
        if largest > LARGEST_INTEGER:
            raise InputError(
                f"{source}: data.dequantise = {name}: integers up to {largest:.0f} leave single "
                f"precision no digits for the noise; at most {LARGEST_INTEGER}"
            )
    return tuple(sorted(columns.index(name) for name in wanted))
