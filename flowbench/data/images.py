"""Image formats: IDX (MNIST), CIFAR-10's binary records, arrays and folders of pictures."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from flowbench.data.source import Array, Rows
from flowbench.errors import InputError

RECORD = 1 + 3 * 32 * 32
"""Bytes of one CIFAR-10 record: a label, then red, green and blue planes."""

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")

IDX_UINT8 = 0x08


def read_idx(path: Path) -> Array:
    """Read an IDX file of bytes, gzipped or not: images ``(N, H, W)`` or labels ``(N,)``.

    Raises:
        InputError: for a wrong magic number or a length that the header does not announce.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a gzip file: {error}") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != IDX_UINT8:
        raise InputError(f"{path}: not an IDX file of bytes (it starts with {data[:4].hex()})")
    rank = data[3]
    start = 4 + 4 * rank
    if len(data) < start:
        raise InputError(f"{path}: truncated in its header")
    shape = struct.unpack(f">{rank}I", data[4:start])
    expected = int(np.prod(shape))
    if len(data) - start != expected:
        raise InputError(f"{path}: {len(data) - start} bytes of {expected} announced for {shape}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_idx_pair(images: Path, labels: Path) -> Rows:
    """Read an IDX file of images and the one of its labels; images as ``(N, 1, H, W)``."""
    x, y = read_idx(images), read_idx(labels)
    if x.ndim != 3 or y.shape != x.shape[:1]:
        raise InputError(f"{images}: shape {x.shape} does not fit labels of shape {y.shape}")
    return Rows(x[:, None], label=y.astype(np.int64))


def read_cifar(paths: list[Path]) -> Rows:
    """Read binary CIFAR-10 batches, any whole number of 3,073-byte records each."""
    parts = []
    for path in paths:
        size = path.stat().st_size
        if size == 0 or size % RECORD:
            raise InputError(f"{path}: {size} bytes; a whole number of {RECORD}-byte records")
        parts.append(np.fromfile(path, np.uint8).reshape(-1, RECORD))
    records = np.concatenate(parts)
    return Rows(records[:, 1:].reshape(-1, 3, 32, 32), label=records[:, 0].astype(np.int64))


def as_images(array: Array, source: str) -> Array:
    """Return a uint8 array as ``(N, C, H, W)``, a view; channels last are understood.

    Raises:
        InputError: for another rank, no images, or pixels that are no bytes.
    """
    if array.dtype != np.uint8:
        raise InputError(f"{source}: dtype {array.dtype}; images are arrays of uint8")
    if not array.size:
        raise InputError(f"{source}: shape {array.shape}; at least one image is needed")
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4 and array.shape[1] in (1, 3):
        return array
    if array.ndim == 4 and array.shape[3] in (1, 3):
        return array.transpose(0, 3, 1, 2)
    raise InputError(
        f"{source}: shape {array.shape}; images are (N, H, W), (N, C, H, W) or (N, H, W, C)"
    )


def read_folder(folder: Path) -> tuple[Rows, tuple[str, ...]]:
    """Read every picture below a folder; the names of sub-folders are labels.

    Grey pictures give one channel; one picture in colour makes all of them three.

    Returns:
        The pictures, and the words behind their labels.

    Raises:
        InputError: for no picture, one that cannot be read, or two of different sizes.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURES and not path.name.startswith(".")
    )
    if not files:
        raise InputError(f"{folder}: no picture ({', '.join(PICTURES)})")
    arrays: list[Array] = []
    for path in files:
        pixels = _read_picture(path)
        if arrays and pixels.shape[:2] != arrays[0].shape[:2]:
            one, other = pixels.shape[1::-1], arrays[0].shape[1::-1]
            raise InputError(
                f"{path}: {one[0]}x{one[1]} pixels where {files[0].name} has {other[0]}x{other[1]};"
                " all pictures need one size"
            )
        arrays.append(pixels)
    colour = any(pixels.ndim == 3 for pixels in arrays)
    if colour:
        arrays = [p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in arrays]
    stacked = np.stack(arrays)
    x = stacked.transpose(0, 3, 1, 2) if colour else stacked[:, None]
    names = tuple(sorted({path.parent.name for path in files if path.parent != folder}))
    if not names:
        return Rows(x), ()
    number = {name: i for i, name in enumerate(names)}
    label = np.array([number.get(path.parent.name, -1) for path in files], dtype=np.int64)
    return Rows(x, label=label), names


def _read_picture(path: Path) -> Array:
    """Return the pixels of a grey picture, ``(H, W)``, or of one in colour, ``(H, W, 3)``."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            if picture.mode.startswith(("I", "F")):
                raise InputError(f"{path}: more than 8 bits a pixel ({picture.mode}); 8 are needed")
            if picture.has_transparency_data:
                lowest = picture.convert("RGBA").getchannel("A").getextrema()[0]
                if lowest != 255:
                    raise InputError(f"{path}: transparent pixels; save it without transparency")
            grey = picture.mode in ("1", "L", "LA")
            return np.asarray(picture.convert("L" if grey else "RGB"))
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a picture: {error}") from None
