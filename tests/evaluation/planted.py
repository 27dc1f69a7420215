"""Flows with a closed form, and flows with a fault that a measurement must find."""

from math import log

import numpy as np
import torch
from torch import nn

from flowbench.bijections.base import Bijection
from flowbench.bijections.compose import Compose
from flowbench.bijections.diagonal import Diagonal
from flowbench.bijections.linear import PlainLinear
from flowbench.bijections.residual import ResidualBlock
from flowbench.data.module import FlowData
from flowbench.data.source import Rows, Source, parts_as_given
from flowbench.families.bases import NormalBase
from flowbench.families.flow import Flow, flat
from flowbench.networks.lipschitz import LipschitzLayer


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


class Logistic(torch.nn.Module):
    """Independent logistic pixels at 1.5, of scale 0.7."""

    def __init__(self, event_shape):
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(()))

    def log_prob(self, x):
        z = (x - 1.5) / 0.7
        each = torch.nn.functional.logsigmoid(z) + torch.nn.functional.logsigmoid(-z) - log(0.7)
        return each.flatten(1).sum(1)

    def sample(self, n):
        raise NotImplementedError


def given(rows, kind="table", **about):
    """Return a data set with the same rows in each split."""
    parts = dict.fromkeys(("train", "validation", "test"), Rows(rows))
    return FlowData(Source("given", kind, parts_as_given(parts), **about), [], 64)


def pixels(levels, rows=300):
    """Return a data set of 2x2 images with few levels."""
    noise = np.random.default_rng(0)
    parts = {
        split: Rows(noise.binomial(levels - 1, 0.3, (rows, 1, 2, 2)).astype(np.uint8))
        for split in ("train", "validation", "test")
    }
    source = Source("pixels", "image", parts_as_given(parts), levels=levels)
    return FlowData(source, [], 64)


class Scaled(Bijection):
    """z = W x, with a log-det that is off by `fault`."""

    def __init__(self, matrix, fault=0.0):
        super().__init__()
        self.matrix = nn.Parameter(torch.as_tensor(matrix))
        self.fault = fault

    def encode(self, x, context=None):
        log_det = torch.linalg.slogdet(self.matrix)[1] + self.fault
        return x @ self.matrix.T, log_det.expand(len(x))

    def decode(self, z, context=None):
        x = torch.linalg.solve(self.matrix, z.T).T
        return x, -(torch.linalg.slogdet(self.matrix)[1] + self.fault).expand(len(z))


class Linear(Flow):
    """A linear map after the preprocessing: its Jacobian is its matrix."""

    def __init__(self, data, matrix, fault=0.0):
        dim = len(matrix)
        super().__init__(
            (dim,), Scaled(matrix, fault), NormalBase(dim), preprocess=data.preprocess()
        )


class Contracting(LipschitzLayer):
    """g(x) = R x with R of constant L: its plain iteration gains a factor of its eigenvalues."""

    def __init__(self, matrix, lipschitz):
        super().__init__()
        self.matrix = nn.Parameter(torch.as_tensor(matrix))
        self.lipschitz = lipschitz

    def forward(self, x):
        return x @ self.matrix.T

    def linearise(self, x):
        return self(x), lambda tangents: tangents @ self.matrix.T


class OneBlock(Flow):
    """One residual block of a linear branch."""

    def __init__(self, data, matrix, lipschitz):
        dim = len(matrix)
        block = ResidualBlock(Contracting(matrix, lipschitz), dim, log_det="exact")
        super().__init__((dim,), Compose([block]), NormalBase(dim), preprocess=data.preprocess())
