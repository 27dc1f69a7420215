"""Reshaping an event, the bridge from images to layers that work on vectors."""

from math import prod

from torch import Tensor

from flowbench.bijections.base import Bijection


class Flatten(Bijection):
    """Take an event of any shape to a vector: ``(N, *event_shape)`` to ``(N, D)`` and back."""

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.dim = prod(event_shape)

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        return x.reshape(len(x), self.dim), x.new_zeros(len(x))

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        return z.reshape(len(z), *self.event_shape), z.new_zeros(len(z))
