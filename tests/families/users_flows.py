"""Flows as a user might write them."""

import torch
from torch import Tensor, nn


class Gaussian(nn.Module):
    """All that is asked for: a density and samples."""

    def __init__(self, event_shape: tuple[int, ...], spread: float = 2.0) -> None:
        super().__init__()
        self.event_shape = event_shape
        self.mean = nn.Parameter(torch.zeros(event_shape))
        self.log_spread = nn.Parameter(torch.full(event_shape, spread).log())

    def log_prob(self, x: Tensor) -> Tensor:
        normal = torch.distributions.Normal(self.mean, self.log_spread.exp())
        return normal.log_prob(x).flatten(1).sum(1)

    def sample(self, n: int) -> Tensor:
        return self.mean + self.log_spread.exp() * torch.randn(n, *self.event_shape).to(self.mean)


class Affine(Gaussian):
    """One that has both directions, and more besides."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = ((x - self.mean) / self.log_spread.exp()).flatten(1)
        return z, (-self.log_spread.sum()).expand(len(x))

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x = self.mean + self.log_spread.exp() * z.reshape(len(z), *self.event_shape)
        return x, self.log_spread.sum().expand(len(z))

    def rsample(self, n: int, temperature: float = 1.0, generator=None) -> Tensor:
        noise = torch.randn(n, *self.event_shape, generator=generator).to(self.mean)
        return self.mean + temperature * self.log_spread.exp() * noise

    def sample(self, n: int, temperature: float = 1.0, generator=None) -> Tensor:
        return self.rsample(n, temperature, generator)

    def initialise(self, x: Tensor) -> None:
        self.mean.copy_(x.mean(0))

    def after_step(self) -> None:
        self.stepped = True


class Conditional(nn.Module):
    """A mean that depends on a context."""

    def __init__(self, event_shape: tuple[int, ...], context_size: int) -> None:
        super().__init__()
        self.dim = event_shape[0]
        self.mean = nn.Linear(context_size, self.dim)

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        return torch.distributions.Normal(self.mean(context), 1.0).log_prob(x).sum(1)

    def sample(self, n: int, context: Tensor) -> Tensor:
        return self.mean(context) + torch.randn(n, self.dim).to(context)


class Dimension(nn.Module):
    """One that is told its dimension by a key of its own."""

    def __init__(self, dim: int, wide: bool = False) -> None:
        super().__init__()
        self.inner = Gaussian((dim,), 9.0 if wide else 1.0)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.inner.log_prob(x)

    def sample(self, n: int) -> Tensor:
        return self.inner.sample(n)


class Mistaken(Gaussian):
    """One whose results have the wrong shapes."""

    def log_prob(self, x: Tensor) -> Tensor:
        return super().log_prob(x)[:, None]

    def sample(self, n: int) -> Tensor:
        return super().sample(n)[:, :1]

    def encode(self, x: Tensor) -> Tensor:
        return x


class Loose(Gaussian):
    """One whose keys have any type, or none."""

    def __init__(
        self,
        event_shape: tuple[int, ...],
        base: torch.distributions.Distribution | None = None,
        anything=None,
        *others,
        **more,
    ) -> None:
        super().__init__(event_shape)
        self.base, self.anything = base, anything
