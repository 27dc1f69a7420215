"""What the ranks of one training agree on."""

import torch
from pytorch_lightning import Trainer


def from_rank_zero(trainer: Trainer, value: float) -> float:
    """Return rank 0's value on every rank; all must call it, in the same order."""
    if trainer.world_size == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=trainer.strategy.root_device)
    torch.distributed.broadcast(shared, src=0)
    return float(shared)
