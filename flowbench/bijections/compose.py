"""Composition of layers: layer 1 next to the data, the last next to the base."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from flowbench.bijections.base import Bijection
from flowbench.bijections.reversible import Reconstruction, encode_reversibly
from flowbench.spec.vocabulary import InverseLabel, LogDetLabel, weakest_log_det


class Compose(Bijection):
    """Apply layers one after the other; `encode` runs them first to last, `decode` last to first.

    Only layers that take a context are handed it. Where `reconstruction` is set, `encode` keeps no
    activations for its gradient, which computes them again from the latent; see `reversible`.
    """

    def __init__(self, layers: Iterable[Bijection]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.reconstruction: Reconstruction | None = None
        self.takes_context = any(layer.takes_context for layer in self.sequence)

    @property
    def sequence(self) -> list[Bijection]:
        """The layers, from data to base."""
        return cast("list[Bijection]", list(self.layers))

    @property
    def log_det_label(self) -> LogDetLabel:
        return weakest_log_det([layer.log_det_label for layer in self.sequence])

    @property
    def inverse_label(self) -> InverseLabel:
        iterates = any(layer.inverse_label == "iterative" for layer in self.sequence)
        return "iterative" if iterates else "analytic"

    @property
    def pieces(self) -> list[Bijection]:
        return [piece for layer in self.sequence for piece in layer.pieces]

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.reconstruction is not None and torch.is_grad_enabled():
            steps = [(piece, self._given(piece, context)) for piece in self.pieces]
            return encode_reversibly(steps, x, context, self.reconstruction)
        total = x.new_zeros(len(x))
        for layer in self.sequence:
            x, log_det = layer.encode(x, self._given(layer, context))
            total = total + log_det
        return x, total

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(len(z))
        for layer in reversed(self.sequence):
            z, log_det = layer.decode(z, self._given(layer, context))
            total = total + log_det
        return z, total

    def encode_map(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        for layer in self.sequence:
            x = layer.encode_map(x, self._given(layer, context))
        return x

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        for layer in reversed(self.sequence):
            z = layer.decode_map(z, self._given(layer, context))
        return z

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        for layer in self.sequence:
            given = self._given(layer, context)
            layer.initialise(x, given)
            x = layer.encode_map(x, given)

    def _given(self, layer: Bijection, context: Tensor | None) -> Tensor | None:
        """Return what a layer is handed, or refuse a context that no layer takes."""
        if not self.takes_context:
            self.refuse_context(context)
        return context if layer.takes_context else None
