"""Gradients of a row of layers without their activations, which are computed again from outputs.

Source: Gomez et al. 2017, "The Reversible Residual Network: Backpropagation Without Storing
Activations"; here for any layers whose inverse is cheap. Memory is that of one layer, whatever
their number; a coupling runs its conditioner once more, and not twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from flowbench.bijections.base import Bijection

Steps = Sequence[tuple["Bijection", Tensor | None]]
"""Layers from data to base, each with the context that it is handed."""


class Reconstruction:
    """How well inputs were found again: errors of inverses become errors of gradients.

    Attributes:
        error: the largest error of an input, relative to the largest element of its sample, or of
            the median sample if that is more, ``()``; None before any.
    """

    def __init__(self) -> None:
        self.error: Tensor | None = None

    def compare(self, x: Tensor, found: Tensor) -> None:
        """Take in inputs and what was found of them."""
        sizes = x.abs().flatten(1).amax(1)
        # A sample near zero is measured by its neighbours, and none of them by an outlier.
        sizes = torch.maximum(sizes, sizes.median()).clamp(min=torch.finfo(x.dtype).tiny)
        error = ((found - x).abs().flatten(1).amax(1) / sizes).max()
        # A NaN is an error too: maximum hands it on.
        self.error = error if self.error is None else torch.maximum(self.error, error)


def encode_reversibly(
    steps: Steps, x: Tensor, context: Tensor | None, reconstruction: Reconstruction
) -> tuple[Tensor, Tensor]:
    """Encode through layers; the graph keeps the input and the latent, and nothing in between.

    Args:
        steps: layers that draw nothing at random.
        x: ``(N, *event_shape)``.
        context: the one that `steps` hand out, whose gradient may be wanted.
        reconstruction: is told what the backward pass finds of `x`.

    Returns:
        The latent and the log-determinant ``(N,)``, as encoding layer by layer returns them.
    """
    latent, log_det = _Encode.apply(steps, reconstruction, x, context, *_trained(steps))  # type: ignore[no-untyped-call]
    return latent, log_det


class _Encode(torch.autograd.Function):
    """Forward without a graph; backward from the last layer to the first, a graph at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        steps: Steps,
        reconstruction: Reconstruction,
        x: Tensor,
        context: Tensor | None,
        *trained: Tensor,
    ) -> tuple[Tensor, Tensor]:
        z, total = x, x.new_zeros(len(x))
        notes: list[Tensor | None] = []
        for layer, given in steps:
            z, log_det, note = layer.encode_noting(z, given)
            notes.append(note)
            total = total + log_det
        if z is x:  # no layers: an output of its own, for autograd
            z = x.clone()
        ctx.steps, ctx.notes, ctx.context = steps, notes, context
        ctx.reconstruction, ctx.autocast = reconstruction, _same_autocast(x.device.type)
        ctx.save_for_backward(x, z, *trained)
        return z, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_z: Tensor, grad_log_det: Tensor) -> tuple[Tensor | None, ...]:
        # Looking at the parameters saved makes autograd refuse those that were written to since.
        x, z, *_ = ctx.saved_tensors
        at = BackwardPass(z, grad_z, grad_log_det, ctx.autocast)
        for (layer, given), note in reversed(list(zip(ctx.steps, ctx.notes, strict=True))):
            layer.pull_back(at, given, note)
        ctx.reconstruction.compare(x, at.z)
        grads = [at.totals.get(parameter) for parameter in _trained(ctx.steps)]
        grad_context = None if ctx.context is None else at.totals.get(ctx.context)
        return None, None, at.grad, grad_context, *grads


class BackwardPass:
    """Where a backward pass stands on its way from the latent to the data.

    Attributes:
        z: what the next layer has put out, found again, ``(N, *event_shape)``.
        grad: the gradient at `z`.
        grad_log_det: the gradient of each layer's log-determinant, ``(N,)``.
        totals: gradients of parameters and of the context so far.
    """

    def __init__(
        self, z: Tensor, grad: Tensor, grad_log_det: Tensor, autocast: AbstractContextManager[None]
    ) -> None:
        self.z, self.grad, self.grad_log_det = z, grad, grad_log_det
        self.totals: dict[Tensor, Tensor] = {}
        self._autocast = autocast

    @contextmanager
    def graph(self) -> Iterator[None]:
        """Compute as the forward pass did, in a graph."""
        with torch.enable_grad(), self._autocast:
            yield

    def pull(
        self,
        outputs: Sequence[tuple[Tensor, Tensor]],
        leaf: Tensor,
        layer: Bijection,
        context: Tensor | None,
    ) -> Tensor:
        """Pull gradients from outputs to a leaf, and count those of a layer's parameters.

        Args:
            outputs: with the gradient of each.
            leaf: where the graph begins.
            layer: whose parameters take part.
            context: takes part too, if it wants a gradient.

        Returns:
            The gradient at `leaf`.
        """
        wanted: list[Tensor] = [p for p in layer.parameters() if p.requires_grad]
        if context is not None and context.requires_grad:
            wanted.append(context)
        attached = [(output, grad) for output, grad in outputs if output.requires_grad]
        grad, *others = torch.autograd.grad(
            [output for output, _ in attached],
            [leaf, *wanted],
            [grad for _, grad in attached],
            allow_unused=True,
        )
        for tensor, other in zip(wanted, others, strict=True):
            if other is not None:
                self.count(tensor, other)
        return torch.zeros_like(leaf) if grad is None else grad

    def count(self, tensor: Tensor, grad: Tensor) -> None:
        """Add to the gradient of a parameter or of the context."""
        self.totals[tensor] = self.totals[tensor] + grad if tensor in self.totals else grad

    def move(self, x: Tensor, grad: Tensor) -> None:
        """Go on to a layer's input, and to the gradient there."""
        self.z, self.grad = x, grad


def _trained(steps: Steps) -> list[Tensor]:
    """Return the layers' trained parameters, shared ones once."""
    parameters = (p for layer, _ in steps for p in layer.parameters() if p.requires_grad)
    return list(dict.fromkeys(parameters))


def _same_autocast(device_type: str) -> AbstractContextManager[None]:
    """Return the present autocast as a context to enter again."""
    return torch.autocast(
        device_type,
        dtype=torch.get_autocast_dtype(device_type),
        enabled=torch.is_autocast_enabled(device_type),
    )
