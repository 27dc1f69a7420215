"""Fully connected conditioners."""

from collections.abc import Sequence

from torch import Tensor, nn


def scale_last(layer: nn.Linear | nn.Conv2d, factor: float) -> None:
    """Multiply a last layer's initial weights, so that a coupling starts near the identity."""
    for parameter in (layer.weight, layer.bias):
        if parameter is not None:
            parameter.detach().mul_(factor)


class MLP(nn.Module):
    """A multilayer perceptron that may take a context.

    The context enters the first hidden layer through a linear map of its own, which is the same
    as concatenating it to the input without copying that.

    Args:
        inputs: number of input features.
        outputs: number of output features.
        hidden: width of each hidden layer, at least one.
        context_size: number of context features C, 0 for none.
        dropout: share of hidden units dropped in training.
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
        self.first = nn.Linear(inputs, hidden[0])
        self.context = nn.Linear(context_size, hidden[0], bias=False) if context_size else None
        layers: list[nn.Module] = []
        widths = [*hidden, outputs]
        for width, next_width in zip(hidden, widths[1:], strict=True):
            layers.append(nn.ReLU(inplace=True))
            if dropout:
                layers.append(nn.Dropout(dropout))
            layers.append(nn.Linear(width, next_width))
        self.rest = nn.Sequential(*layers)
        last = layers[-1]
        assert isinstance(last, nn.Linear)
        scale_last(last, last_scale)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Take ``(N, inputs)`` and the context ``(N, C)`` to ``(N, outputs)``."""
        h = self.first(x)
        if self.context is not None:
            h = h + self.context(context)
        return self.rest(h)  # type: ignore[no-any-return]
