"""Moving parameters away from where they start: most layers start near the identity."""

import torch
from torch import Tensor, nn

from flowbench.bijections.base import Bijection
from flowbench.bijections.linear import LULinear, PlainLinear

SCALES = (0.5, 1.0, 2.0)
"""Noise on each parameter tensor, in multiples of its own spread."""

LEAST_SPREAD = 0.1
"""Taken for the spread of tensors that start constant, such as a coupling's last layer: less would
leave affine couplings near the identity."""

LOG_STEP = 0.25
"""Standard deviation of a log-scale's move at scale 1, so that a stack of them stays in bounds."""


@torch.no_grad()
def perturb(model: nn.Module, scale: float) -> None:
    """Move every parameter that is trained by noise of `scale` times its own spread, in place.

    Linear maps are turned by a random rotation instead, and log-scales moved by a fixed step:
    noise of twice its own spread would make a square matrix nearly singular, and errors would
    then say nothing. Randomness follows torch's global generator.
    """
    turned: set[nn.Parameter] = set()
    for module in model.modules():
        if isinstance(module, PlainLinear):
            module.matrix.copy_(module.matrix @ _rotation(module.matrix, scale))
            turned.add(module.matrix)
        elif isinstance(module, LULinear):
            _turn_lu(module, _rotation(module.lower, scale))
            turned |= {module.lower, module.upper}
    for name, parameter in model.named_parameters():
        if parameter in turned or not parameter.requires_grad or not parameter.numel():
            continue
        noise = torch.randn_like(parameter)
        if name.rpartition(".")[2].startswith("log_"):
            parameter.add_(noise, alpha=LOG_STEP * scale)
        else:
            parameter.add_(noise, alpha=scale * max(_spread(parameter), LEAST_SPREAD))
    for module in model.modules():
        if isinstance(module, Bijection):
            module.after_step()


def _spread(parameter: Tensor) -> float:
    """Return a tensor's standard deviation; of a single number, its size."""
    return float(parameter.std() if parameter.numel() > 1 else parameter.abs())


def _rotation(like: Tensor, scale: float) -> Tensor:
    """Return a random rotation through angles of about `scale`, ``(F, F)``."""
    size = len(like)
    generator = torch.randn(size, size, dtype=like.dtype, device=like.device)
    return torch.matrix_exp(scale * (generator - generator.T) / (2 * size) ** 0.5)


def _turn_lu(layer: LULinear, rotation: Tensor) -> None:
    """Multiply the layer's W by a rotation, and factor it anew."""
    permutation, lower, upper = torch.linalg.lu(layer.weight() @ rotation)
    diagonal = upper.diagonal()
    layer.rows.copy_(permutation.argmax(1))
    layer.sign.copy_(diagonal.sign())
    layer.lower.copy_(lower.tril(-1))
    layer.upper.copy_(upper.triu(1))
    layer.log_scale.copy_(diagonal.abs().log())
