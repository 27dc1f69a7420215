"""Keeping log-determinants and solved equations out of half precision."""

import torch
from torch import Tensor


def full_precision(x: Tensor) -> torch.autocast:
    """Switch autocast off for a block: neither a log-det nor an inverse survives bfloat16."""
    return torch.autocast(x.device.type, enabled=False)


def widened(x: Tensor) -> Tensor:
    """Return half-precision inputs in float32, others as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
