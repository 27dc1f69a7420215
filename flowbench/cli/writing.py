"""Writing what a user asked for: samples and scores, in the format that the file's name says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil, isqrt
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowbench.errors import InputError

Array = NDArray[np.generic]


def refuse_format(path: Path, allowed: Sequence[str], what: str) -> None:
    """Refuse a file whose name does not end with one of the formats, or whose folder is missing.

    Raises:
        InputError: naming the formats.
    """
    if path.suffix not in allowed:
        raise InputError(f"{path}: {what} are written as {', '.join(allowed)}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: no such folder {path.parent}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file to write that takes the place of `path` once it is whole.

    Raises:
        InputError: if the system refuses it: no room, no right, a folder of this name.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_samples(samples: Array, columns: Sequence[str], levels: int | None, path: Path) -> None:
    """Write samples ``(n, *event_shape)``: an array, a table with its columns, or a picture."""
    with replacing(path) as file:
        if path.suffix == ".npy":
            np.save(file, samples)
        elif path.suffix == ".csv":
            names = list(columns) or [f"x{i + 1}" for i in range(samples.shape[1])]
            pd.DataFrame(samples, columns=names).to_csv(file, index=False)
        else:
            _write_grid(samples, levels, file)


def write_scores(log_prob: Array, path: Path) -> None:
    """Write log densities in nats, in the order of the file's rows, counted from 0."""
    table = pd.DataFrame({"row": np.arange(len(log_prob)), "log_prob": log_prob})
    with replacing(path) as file:
        if path.suffix == ".npy":
            np.save(file, log_prob)
        elif path.suffix == ".csv":
            table.to_csv(file, index=False)
        else:
            table.to_parquet(file, index=False)


def _write_grid(images: Array, levels: int | None, path: Path) -> None:
    """Lay images ``(n, C, H, W)`` out in rows, a pixel apart; black is 0, white the top level."""
    from PIL import Image

    count, channels, height, width = images.shape
    top = 1.0 if levels is None else levels - 1.0
    pixels = np.clip(np.nan_to_num(images.astype(np.float64)) / top, 0, 1)
    across = max(isqrt(count), 1)
    down = ceil(count / across)
    sheet = np.ones((down * (height + 1) - 1, across * (width + 1) - 1, channels))
    for i, image in enumerate(pixels):
        y, x = (i // across) * (height + 1), (i % across) * (width + 1)
        sheet[y : y + height, x : x + width] = np.moveaxis(image, 0, -1)
    colours = np.broadcast_to(sheet, (*sheet.shape[:2], 3)) if channels == 1 else sheet[..., :3]
    Image.fromarray(np.round(255 * colours).astype(np.uint8)).save(path)
