"""Users' own flows, right and wrong."""

import torch
from torch import Tensor, nn
from torch.distributions import Normal


class DensityAlone(nn.Module):
    """A Gaussian that can be scored and sampled, and no more."""

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(event_shape))

    def log_prob(self, x: Tensor) -> Tensor:
        return Normal(self.mean, 1.0).log_prob(x).flatten(1).sum(1)

    def sample(self, n: int) -> Tensor:
        return self.mean + torch.randn(n, *self.mean.shape).to(self.mean)


class Bent(nn.Module):
    """z = sinh(a x), which has an inverse; `careless` forgets a in its log-det."""

    def __init__(self, event_shape: tuple[int, ...], careless: bool = False) -> None:
        super().__init__()
        if len(event_shape) != 1:
            raise ValueError("rows of a table, please")
        self.careless = careless
        self.log_a = nn.Parameter(torch.zeros(event_shape))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        stretched = self.log_a.exp() * x
        log_det = stretched.cosh().log().sum(1)
        return stretched.sinh(), log_det if self.careless else log_det + self.log_a.sum()

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x = z.asinh() / self.log_a.exp()
        return x, -self.encode(x)[1]

    def log_prob(self, x: Tensor) -> Tensor:
        z, log_det = self.encode(x)
        return Normal(0.0, 1.0).log_prob(z).sum(1) + log_det

    def sample(self, n: int) -> Tensor:
        return self.decode(torch.randn(n, len(self.log_a)).to(self.log_a))[0]


class Unbuildable(nn.Module):
    """Refuses everything."""

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        raise ValueError("not today")

    def log_prob(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def sample(self, n: int) -> Tensor:
        raise NotImplementedError
