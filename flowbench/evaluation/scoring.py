"""The log density of each row of a user's file, read as the model's own data were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from flowbench.data.arrays import read_array
from flowbench.data.batch import rows_at_once
from flowbench.data.files import locate
from flowbench.data.images import as_images, read_folder
from flowbench.data.source import Array
from flowbench.data.tables import read_table
from flowbench.errors import InputError
from flowbench.evaluation.measuring import SEED, measuring, place
from flowbench.evaluation.trained import Trained

BATCH = 1024


@dataclass(frozen=True)
class Events:
    """What a file holds: events ``(N, *event_shape)`` and their contexts, ``(N, C)`` or None."""

    x: Array
    context: Array | None = None


def read_events(trained: Trained, text: str) -> Events:
    """Read a table, an array or a folder of images as events of the model.

    Raises:
        InputError: if it has other columns, another shape, or values that are no finite numbers.
    """
    path = locate(text, "FILE")
    if len(trained.flow.event_shape) == 1:
        return _table(trained, path)
    return Events(_images(trained, path))


def score_events(trained: Trained, events: Events) -> Tensor:
    """Return the log-density of each event in nats, ``(N,)``, float64.

    Integers are dequantised by the draw that belongs to the row of the file.
    """
    flow = trained.flow
    device, dtype = place(flow)
    batch = rows_at_once(flow, BATCH)
    scores = []
    with measuring(flow):
        for start in range(0, len(events.x), batch):
            part = slice(start, start + batch)
            x = torch.from_numpy(np.array(events.x[part])).to(device, dtype)
            context = None
            if events.context is not None:
                context = torch.from_numpy(np.array(events.context[part])).to(device, dtype)
            row = torch.arange(start, start + len(x), device=device)
            flow.key_noise(SEED, 0, row)
            scores.append(flow(trained.about.dequantise(x, row, 0), context).double().cpu())
    return torch.cat(scores)


def _table(trained: Trained, path: Path) -> Events:
    if path.is_dir():
        raise InputError(f"{path}: a folder; the model was trained on a table")
    key = None if trained.about.data is None else trained.about.data.key
    frame = read_table(path, key if path.suffix == ".npz" else None)
    modelled, context = list(trained.about.columns), list(trained.about.context)
    names = modelled + context or list(frame.columns)
    if not set(names) <= set(frame.columns):
        missing = [name for name in names if name not in frame.columns]
        unnamed = list(frame.columns) == [str(i) for i in range(len(names))]
        if not unnamed:
            raise InputError(
                f"{path}: no column {missing[0]!r}; the model was trained on {', '.join(names)}"
            )
        # A file without names has its columns in the order of training.
        frame = frame.set_axis(names, axis=1)
    values = _numbers(frame[names], path)
    dim = trained.flow.dim
    if values.shape[1] != dim + trained.flow.context_size:
        raise InputError(f"{path}: {values.shape[1]} columns; the model was trained on {dim}")
    integers = values[:, list(trained.about.dequantised or ())]
    if (integers != np.round(integers)).any():
        raise InputError(f"{path}: fractions in a column that was dequantised as integers")
    return Events(values[:, :dim], values[:, dim:] if context else None)


def _numbers(frame: pd.DataFrame, path: Path) -> Array:
    """Return the columns as float64, or name the first cell that is no finite number."""
    numbers = frame.apply(pd.to_numeric, errors="coerce")
    values: Array = numbers.to_numpy(np.float64)
    broken = np.argwhere(~np.isfinite(values))
    if len(broken):
        row, column = broken[0]
        cell = frame.iloc[row, column]
        raise InputError(
            f"{path}: {repr(cell) if isinstance(cell, str) else cell} in row {row + 1}, column "
            f"{frame.columns[column]!r}; every cell must be a finite number"
        )
    return values


def _images(trained: Trained, path: Path) -> Array:
    x = read_folder(path)[0].x if path.is_dir() else as_images(read_array(path), str(path))
    expected = trained.flow.event_shape
    if x.shape[1:] != expected:
        raise InputError(
            f"{path}: images of shape {x.shape[1:]}; the model was trained on {expected}"
        )
    levels = trained.about.levels
    if levels is not None and x.max() >= levels:
        raise InputError(f"{path}: a pixel of {x.max()}; the model knows 0 to {levels - 1}")
    return x
