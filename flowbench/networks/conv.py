"""Convolutional conditioners."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from flowbench.networks.mlp import scale_last


class ConvNet(nn.Module):
    """Convolutions of 3x3, then 1x1 between hidden layers, then 3x3, at one spatial size.

    Source: Kingma and Dhariwal 2018, "Glow", section 4 (without actnorm inside the network). The
    context enters the first hidden layer as a bias, through a linear map.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        hidden: channels of each hidden layer; with none it is one 3x3 convolution.
        context_size: number of context features C, 0 for none.
        dropout: share of hidden channels dropped in training.
        last_scale: factor on the last layer's initial weights; 0 starts the network at zero.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int],
        *,
        context_size: int = 0,
        dropout: float = 0.0,
        last_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.context_size = context_size
        widths = [*hidden, outputs]
        self.first = nn.Conv2d(inputs, widths[0], 3, padding=1)
        self.context = nn.Linear(context_size, widths[0], bias=False) if context_size else None
        layers: list[nn.Module] = []
        for i, (width, next_width) in enumerate(pairwise(widths), 1):
            layers.append(nn.ReLU(inplace=True))
            last = i == len(hidden)
            if last and dropout:
                layers.append(nn.Dropout2d(dropout))
            size = 3 if last else 1
            layers.append(nn.Conv2d(width, next_width, size, padding=size // 2))
        self.rest = nn.Sequential(*layers)
        for layer in [layers[-1]] if layers else [self.first, self.context]:
            if isinstance(layer, nn.Linear | nn.Conv2d):
                scale_last(layer, last_scale)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Take ``(N, inputs, H, W)`` and the context ``(N, C)`` to ``(N, outputs, H, W)``."""
        h = self.first(pixelwise(x))
        if self.context is not None:
            h = h + self.context(context)[:, :, None, None]
        parameters: Tensor = self.rest(h)
        return parameters.contiguous()


def pixelwise(x: Tensor) -> Tensor:
    """Lay an image batch out pixel by pixel on a CPU, where convolutions then run faster.

    With 64 channels on 14 x 14 pixels a network takes half the time, forward and backward. What
    follows the network is faster channel by channel: splits of few channels stay in one piece.
    """
    fast = x.device.type == "cpu" and x.dtype == torch.float32
    return x.contiguous(memory_format=torch.channels_last) if fast else x
