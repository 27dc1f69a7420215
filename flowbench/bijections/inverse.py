"""One wrapper that turns any bijection round."""

from torch import Tensor

from flowbench.bijections.base import Bijection
from flowbench.spec.vocabulary import InverseLabel, LogDetLabel


class Inverse(Bijection):
    """The inverse of `bijection`: its `encode` decodes and its `decode` encodes.

    This is how a family written from latent to data is trained by likelihood, and the other way
    round. A layer that initialises from data cannot do so here: its input is at the other end.
    """

    def __init__(self, bijection: Bijection) -> None:
        super().__init__()
        self.bijection = bijection
        self.takes_context = bijection.takes_context

    @property
    def log_det_label(self) -> LogDetLabel:
        return self.bijection.log_det_label

    @property
    def inverse_label(self) -> InverseLabel:
        return self.bijection.inverse_label

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.bijection.decode(x, context)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.bijection.encode(z, context)

    def encode_map(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.bijection.decode_map(x, context)

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.bijection.encode_map(z, context)
