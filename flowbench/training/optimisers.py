"""Optimisers with decoupled weight decay, and the learning rate's schedule."""

from collections.abc import Callable
from math import cos, pi

import torch
from torch import Tensor, nn
from torch.optim import Adamax, AdamW, Optimizer

from flowbench.spec.run import TrainingSpec


class AdamaxW(Adamax):
    """Adamax with the decoupled weight decay of Loshchilov and Hutter 2019, as in AdamW.

    torch's own Adamax adds the decay to the gradient, where the infinity norm divides it away:
    the same number would mean another thing than it does with Adam.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step."""
        # Lightning runs forward and backward inside the closure: gradients are there after it.
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        decays = [group["weight_decay"] for group in self.param_groups]
        for group in self.param_groups:
            decay, group["weight_decay"] = group["weight_decay"], 0.0
            weights = [p for p in group["params"] if p.grad is not None]
            if decay and weights:
                torch._foreach_mul_(weights, 1 - group["lr"] * decay)
        super().step()
        for group, decay in zip(self.param_groups, decays, strict=True):
            group["weight_decay"] = decay
        return loss


def optimiser(module: nn.Module, spec: TrainingSpec) -> Optimizer:
    """Return the optimiser over the parameters that are trained.

    Matrices and kernels decay; biases, scales and other vectors do not.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": spec.weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if spec.optimizer == "adamax":
        return AdamaxW(groups, lr=spec.learning_rate, foreach=True)
    # A fused step would unscale float16 gradients itself, after they were clipped.
    return AdamW(groups, lr=spec.learning_rate, fused=spec.precision != "16")


def schedule(spec: TrainingSpec, total_steps: int) -> Callable[[int, float], float]:
    r"""Return the learning rate's factor, a function of the steps taken and the time's share.

    With s the share of the budget that is spent, of steps or of seconds, whichever is more:

    .. math:: \min\left(1, \max\left(\frac{t + 1}{w}, 4 s\right)\right) \cdot
              \tfrac12 (1 + \cos \pi s)

    after t steps, w being `warmup_steps`: a linear warm-up, over a quarter of the training at
    most, and a half cosine down to zero (or a constant).

    A budget of seconds makes the factor follow the clock, whose pace is recorded (`Budget`).
    """

    def factor(step: int, elapsed_share: float = 0.0) -> float:
        share = min(max(step / total_steps, elapsed_share), 1.0)
        warm = min(1.0, max((step + 1) / max(spec.warmup_steps, 1), 4 * share))
        decayed = 0.5 * (1 + cos(pi * share)) if spec.schedule == "cosine" else 1.0
        return warm * decayed

    return factor


def clipped_norm(module: nn.Module, clip: float | None) -> Tensor:
    """Return the norm of the module's whole gradient, having scaled the gradient down to `clip`."""
    parameters = [p for p in module.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if clip is not None:
        nn.utils.clip_grads_with_norm_(parameters, clip, norm)
    return norm
