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


def schedule(spec: TrainingSpec, total_steps: int) -> Callable[[int], float]:
    r"""Return the factor of the learning rate as a function of the steps taken.

    Linear warm-up to 1 over `warmup_steps`, then constant, or the half cosine
    :math:`\tfrac12 (1 + \cos \pi t)` down to zero at `total_steps`. A warm-up longer than a
    quarter of the training is cut to a quarter.
    """
    warmup = min(spec.warmup_steps, total_steps // 4)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if spec.schedule == "constant":
            return 1.0
        done = (step - warmup) / max(total_steps - warmup, 1)
        return 0.5 * (1 + cos(pi * min(done, 1.0)))

    return factor


def clipped_norm(module: nn.Module, clip: float | None) -> Tensor:
    """Return the norm of the module's whole gradient, having scaled the gradient down to `clip`."""
    parameters = [p for p in module.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if clip is not None:
        nn.utils.clip_grads_with_norm_(parameters, clip, norm)
    return norm
