"""Noise keyed by what it belongs to: the same on any batch size, rank and device.

A counter-based generator: every value is a hash of (seed, step, stream, row, column), so that it
does not depend on which values were drawn before it. The mixer is the finaliser of SplitMix64
(Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"), applied once for
each part of the key.
"""

import hashlib

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_FIRST = -4658895280553007687  # 0xBF58476D1CE4E5B9
_SECOND = -7723592293110705685  # 0x94D049BB133111EB


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Shift logically: torch's shift of signed integers drags the sign along."""
    shifted = x >> bits
    shifted &= (1 << (64 - bits)) - 1
    return shifted


def _mix(x: Tensor) -> Tensor:
    """Return a bijective hash of 64-bit integers; products wrap around, as they should."""
    x = x + _GOLDEN
    # In place: dequantising a batch of images is bound by memory.
    x ^= _shift_right(x, 30)
    x *= _FIRST
    x ^= _shift_right(x, 27)
    x *= _SECOND
    x ^= _shift_right(x, 31)
    return x


def _signed(value: int) -> int:
    """Fold an integer of any size into a signed 64-bit one."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value


def _bits(seed: int, step: int, rows: Tensor, count: int, stream: int) -> Tensor:
    """Return 64 hashed bits for each row and column, ``(N, count)``, int64."""
    key = rows.new_tensor([_signed(seed)])
    for part in (step, stream):
        key = _mix(key) ^ _signed(part)
    by_row = _mix(_mix(key) ^ rows)
    columns = torch.arange(count, device=rows.device, dtype=torch.int64)
    return _mix(by_row.unsqueeze(1) ^ _mix(columns))


def _half_words(seed: int, step: int, rows: Tensor, count: int, stream: int) -> Tensor:
    """Return 32 hashed bits for each row and column, two columns to a hash, ``(N, count)``."""
    return _bits(seed, step, rows, (count + 1) // 2, stream).view(torch.int32)[:, :count]


def uniform(
    seed: int,
    step: int,
    rows: Tensor,
    count: int,
    *,
    stream: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return uniform values in [0, 1), ``(N, count)``.

    Args:
        seed: names the sequence (a model seed, or a data set's key).
        step: the optimiser step, or the number of the draw.
        rows: index of each sample in its data set, ``(N,)``, int64.
        count: values a row.
        stream: keeps apart uses that share the rest of the key.
        dtype: float32 takes 24 bits of the hash, float64 takes 53.
    """
    if dtype == torch.float64:
        return _shift_right(_bits(seed, step, rows, count, stream), 11).to(dtype) * 2.0**-53
    words = _half_words(seed, step, rows, count, stream) >> 8
    return (words & ((1 << 24) - 1)).to(dtype) * 2.0**-24


def rademacher(
    seed: int,
    step: int,
    rows: Tensor,
    count: int,
    *,
    stream: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return independent signs, -1 or 1 with equal chance, ``(N, count)``; see `uniform`."""
    minus_or_nothing = _half_words(seed, step, rows, count, stream) >> 31
    return (2 * minus_or_nothing + 1).to(dtype)


def scalar_uniform(seed: int, step: int, stream: int = 0) -> float:
    """Return one uniform value in [0, 1) for a step, the same on every rank."""
    row = torch.zeros(1, dtype=torch.int64, device="cpu")  # a number of Python's: wait for no GPU
    return float(uniform(seed, step, row, 1, stream=stream, dtype=torch.float64))


def string_key(text: str) -> int:
    """Return a 63-bit key for a text (a data set's content hash), the same in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
