"""Reading NumPy files without ever unpickling."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from flowbench.data.source import Array
from flowbench.errors import InputError


def read_array(path: Path, key: str | None = None) -> Array:
    """Read the array of a `.npy`, memory-mapped, or `key`, else `X`, else the only one of a `.npz`.

    Raises:
        InputError: for an object array or pickle, a truncated file, a missing key, or an array
            that holds no numbers.
    """
    array = _read(path, key)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path}: dtype {array.dtype}; an array of numbers is expected")
    return array


def read_labels(path: Path, rows: int) -> Array | None:
    """Return the array `y` of a `.npz`, one label a row, where it has one.

    Raises:
        InputError: if it is no list of `rows` labels, or cannot be read.
    """
    if path.suffix != ".npz" or not _has(path, "y"):
        return None
    labels = _read(path, "y")
    if labels.shape != (rows,):
        raise InputError(f"{path}: y has shape {labels.shape}; one label for each of {rows:,} rows")
    return labels


def _has(path: Path, key: str) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{key}.npy" in archive.namelist()
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: not a NumPy file: {error}") from None


def _read(path: Path, key: str | None) -> Array:
    try:
        loaded = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix == ".npy" else None)
        if isinstance(loaded, np.ndarray):
            if key is not None:
                raise InputError(f"{path}: data.key = {key!r}; a .npy file has no keys")
            return np.asarray(loaded)
        with loaded:
            return np.asarray(loaded[_member(path, loaded.files, key)])
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            raise InputError(
                f"{path}: holds pickled objects, which are never loaded; save an array of numbers"
            ) from None
        raise InputError(f"{path}: not a NumPy file: {error}") from None


def _member(path: Path, names: list[str], key: str | None) -> str:
    if key is not None:
        if key not in names:
            raise InputError(f"{path}: data.key = {key!r}; it holds: {', '.join(names)}")
        return key
    if "X" in names:
        return "X"
    if len(names) != 1:
        raise InputError(f"{path}: holds {', '.join(names)}; choose one with data.key")
    return names[0]
