"""Seeds derived from a sweep's seed and what they are for."""

import hashlib


def derived_seed(seed: int, *purpose: str | int) -> int:
    """Return a number below 2^31 that depends on the seed and on every part of the purpose."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1
