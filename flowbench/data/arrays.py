"""Reading NumPy files without ever unpickling."""

import zipfile
from pathlib import Path

import numpy as np

from flowbench.data.source import Array
from flowbench.errors import InputError


def read_array(path: Path, key: str | None = None) -> Array:
    """Read the array of a `.npy`, or of a `.npz`: `key`, else `X`, else the only one.

    Raises:
        InputError: for an object array or pickle, a truncated file, a missing key, or an array
            that holds no numbers.
    """
    try:
        loaded = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix == ".npy" else None)
        array = loaded if isinstance(loaded, np.ndarray) else loaded[_member(path, loaded, key)]
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, KeyError) as error:
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            raise InputError(
                f"{path}: holds pickled objects, which are never loaded; save an array of numbers"
            ) from None
        raise InputError(f"{path}: not a NumPy file: {error}") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path}: dtype {array.dtype}; an array of numbers is expected")
    return np.asarray(array)


def read_labels(path: Path) -> Array | None:
    """Return the array `y` of a `.npz` where it has one."""
    if path.suffix != ".npz":
        return None
    with np.load(path, allow_pickle=False) as archive:
        return np.asarray(archive["y"]) if "y" in archive.files else None


def _member(path: Path, archive: "np.lib.npyio.NpzFile", key: str | None) -> str:
    names = archive.files
    if key is not None:
        if key not in names:
            raise InputError(f"{path}: data.key = {key!r}; it holds: {', '.join(names)}")
        return key
    if "X" in names:
        return "X"
    if len(names) != 1:
        raise InputError(f"{path}: holds {', '.join(names)}; choose one with data.key")
    return names[0]
