"""What tests of layers share: parameters away from their start, and autograd's log-dets."""

import torch
from torch import Tensor, nn


def perturbed(module: nn.Module, scale: float, seed: int = 0) -> nn.Module:
    """Add noise of `scale` times each parameter's own size; return it in float64 and eval mode."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            spread = parameter.abs().mean().clamp(min=0.02)
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(scale * spread * noise)
    return module


def jacobians(function, x: Tensor) -> Tensor:
    """Return autograd's Jacobian of a batched map at each row, ``(N, D, D)``."""
    rows = [torch.autograd.functional.jacobian(lambda t: function(t[None])[0], row) for row in x]
    return torch.stack(rows)


def points(n: int, dim: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(n, dim, generator=generator, dtype=torch.float64)
