"""Trading an image's height and width for channels."""

from torch import Tensor

from flowbench.bijections.base import Bijection
from flowbench.errors import InputError


class Squeeze(Bijection):
    """Take ``(C, H, W)`` to ``(4 C, H / 2, W / 2)``: the four phases of each 2x2 block.

    Source: Dinh et al. 2017, "Density estimation using Real NVP", section 3.6. Channels are
    ordered phase by phase (top left, top right, bottom left, bottom right), so that the first
    half of them are the even rows, and the first and last quarter one colour of the checkerboard.

    Args:
        event_shape: ``(C, H, W)``, H and W even.
    """

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, height, width = event_shape
        if height % 2 or width % 2:
            raise InputError(f"squeeze: height and width of {event_shape} must be even")
        self.input_shape = (channels, height, width)
        self.output_shape = (4 * channels, height // 2, width // 2)

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        channels, height, width = self.input_shape
        blocks = x.reshape(len(x), channels, height // 2, 2, width // 2, 2)
        phases = blocks.permute(0, 3, 5, 1, 2, 4)
        return phases.reshape(len(x), *self.output_shape), x.new_zeros(len(x))

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        channels, height, width = self.input_shape
        phases = z.reshape(len(z), 2, 2, channels, height // 2, width // 2)
        blocks = phases.permute(0, 3, 4, 1, 5, 2)
        return blocks.reshape(len(z), *self.input_shape), z.new_zeros(len(z))
