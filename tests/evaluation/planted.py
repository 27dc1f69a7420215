"""Flows with a closed form, and flows with a fault that a measurement must find."""

import torch
from torch import nn

from flowbench.bijections.base import Bijection
from flowbench.bijections.compose import Compose
from flowbench.bijections.diagonal import Diagonal
from flowbench.bijections.linear import PlainLinear
from flowbench.families.bases import NormalBase
from flowbench.families.flow import Flow, flat


class Affine(Flow):
    """z = W x + t after the preprocessing: a Gaussian whose mean and covariance are known."""

    def __init__(self, data, seed=0):
        dim = data.info.event_shape[0]
        super().__init__(
            (dim,), Compose([PlainLinear((dim,)), Diagonal(dim)]), NormalBase(dim),
            preprocess=data.preprocess(),
        )  # fmt: skip
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        self.double().eval()

    def gaussian(self):
        """Return the mean and the covariance of the density in data units, as NumPy arrays."""
        with torch.no_grad():
            origin = self.encode(torch.zeros(1, self.dim, dtype=torch.float64))[0][0]
            columns = self.encode(torch.eye(self.dim, dtype=torch.float64))[0] - origin
        matrix = columns.T.numpy()
        inverse = torch.linalg.inv(torch.from_numpy(matrix)).numpy()
        return -inverse @ origin.numpy(), inverse @ inverse.T


class Identity(Bijection):
    """The identity, whose way back is bent by `fault`."""

    def __init__(self, fault=None):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))
        self.fault = fault

    def encode(self, x, context=None):
        return x + self.anchor, x.new_zeros(len(x))

    def decode(self, z, context=None):
        z = z - self.anchor
        return z if self.fault is None else self.fault(z), z.new_zeros(len(z))


class Faulty(Flow):
    """A flow in flow coordinates that comes back wrongly."""

    def __init__(self, data, fault=None):
        dim = int(torch.Size(data.info.event_shape).numel())
        super().__init__(
            data.info.event_shape, flat(data.info.event_shape, [Identity(fault)]),
            NormalBase(dim), preprocess=data.preprocess(),
        )  # fmt: skip


class Discrete(nn.Module):
    """A density that is constant between integers: its dequantised cost is a code length."""

    def __init__(self, probabilities):
        super().__init__()
        self.log_p = nn.Parameter(torch.as_tensor(probabilities).log())
        self.event_shape, self.dim, self.context_size = (1, 2, 2), 4, 0

    def log_prob(self, x):
        return self.log_p[x.floor().long()].flatten(1).sum(1)

    def sample(self, n):
        raise NotImplementedError
