"""Residual conditioners."""

from collections.abc import Sequence

from torch import Tensor, nn

from flowbench.errors import InputError
from flowbench.networks.conv import pixelwise
from flowbench.networks.mlp import scale_last


class ResidualNet(nn.Module):
    """Residual blocks of two layers each; the output is read off the sum of what they pass on.

    Source: Dinh et al. 2017, "Density estimation using Real NVP", section 4.1 and the released
    code, without its batch and weight normalisation. The context enters the first layer as a bias,
    through a linear map.

    Args:
        inputs: number of input features or channels.
        outputs: number of output features or channels.
        hidden: the width, once for each block.
        context_size: number of context features C, 0 for none.
        dropout: share of hidden units or channels dropped in training.
        last_scale: factor on the last layer's initial weights; 0 starts the network at zero.

    Raises:
        InputError: if the blocks are not of one width.
    """

    dropout: type[nn.Dropout | nn.Dropout2d]

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
        if len(set(hidden)) != 1:
            raise InputError(
                f"hidden = {list(hidden)}: the blocks of a residual network have one width"
            )
        width = hidden[0]
        self.context_size = context_size
        self.first = self.wide(inputs, width)
        self.context = nn.Linear(context_size, width, bias=False) if context_size else None
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                self.wide(width, width),
                nn.ReLU(),
                *([self.dropout(dropout)] if dropout else []),
                self.wide(width, width),
            )
            for _ in hidden
        )
        self.passes = nn.ModuleList(self.narrow(width, width) for _ in range(len(hidden) + 1))
        last = self.narrow(width, outputs)
        scale_last(last, last_scale)
        self.last = nn.Sequential(nn.ReLU(), last)

    def wide(self, inputs: int, outputs: int) -> nn.Linear | nn.Conv2d:
        """Return a layer that sees its neighbourhood, where there is one."""
        raise NotImplementedError

    def narrow(self, inputs: int, outputs: int) -> nn.Linear | nn.Conv2d:
        """Return a layer that does not."""
        raise NotImplementedError

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Take ``(N, inputs, ...)`` and the context ``(N, C)`` to ``(N, outputs, ...)``."""
        h = self.first(x)
        if self.context is not None:
            h = h + self.context(context).reshape(len(x), -1, *(1 for _ in x.shape[2:]))
        passed = self.passes[0](h)
        for block, passes in zip(self.blocks, self.passes[1:], strict=True):
            h = h + block(h)
            passed = passed + passes(h)
        return self.last(passed)  # type: ignore[no-any-return]


class ResidualMLP(ResidualNet):
    """Residual blocks of linear layers, on vectors."""

    dropout = nn.Dropout

    def wide(self, inputs: int, outputs: int) -> nn.Linear:
        return nn.Linear(inputs, outputs)

    narrow = wide


class ResidualConvNet(ResidualNet):
    """Residual blocks of 3x3 convolutions, on images of one size."""

    dropout = nn.Dropout2d

    def wide(self, inputs: int, outputs: int) -> nn.Conv2d:
        return nn.Conv2d(inputs, outputs, 3, padding=1)

    def narrow(self, inputs: int, outputs: int) -> nn.Conv2d:
        return nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return super().forward(pixelwise(x), context).contiguous()
