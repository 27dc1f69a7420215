"""Flows as users of zuko, nflows and normflows write them, adapted in a function or a class."""

from math import prod

import nflows.distributions
import nflows.transforms
import normflows
import torch
import zuko
from nflows.flows import Flow
from torch import nn

from flowbench.adapters.nflows import NflowsFlow
from flowbench.adapters.normflows import NormflowsFlow, NormflowsMultiscale
from flowbench.adapters.zuko import ZukoFlow


def spline(
    event_shape: tuple[int, ...], context_size: int = 0, *, transforms: int = 2
) -> nn.Module:
    flow = zuko.flows.NSF(
        prod(event_shape), context_size, transforms=transforms, hidden_features=(8, 8)
    )
    return ZukoFlow(flow, event_shape)


class Bernstein(ZukoFlow):
    """Its inverse is searched for."""

    inverse_label = "iterative"

    def __init__(self, event_shape: tuple[int, ...], degree: int = 4) -> None:
        flow = zuko.flows.BPF(prod(event_shape), degree=degree, transforms=1, hidden_features=(8,))
        super().__init__(flow, event_shape)


def autoregressive(
    event_shape: tuple[int, ...], context_size: int = 0, *, depth: int = 2
) -> nn.Module:
    (dim,) = event_shape
    layers = []
    for _ in range(depth):
        layers += [
            nflows.transforms.MaskedAffineAutoregressiveTransform(
                dim, 8, context_features=context_size or None
            ),
            nflows.transforms.ReversePermutation(dim),
        ]
    transform = nflows.transforms.CompositeTransform(layers)
    return NflowsFlow(Flow(transform, nflows.distributions.StandardNormal((dim,))), event_shape)


def channels(event_shape: tuple[int, ...]) -> nn.Module:
    """Return 1x1 convolutions between squeezes, whose latents are flat."""
    count, height, width = event_shape
    composite = nflows.transforms.MultiscaleCompositeTransform(1)
    squeeze = nflows.transforms.SqueezeTransform()
    squeezed = squeeze.get_output_shape(count, height, width)
    steps = [
        squeeze,
        nflows.transforms.ActNorm(squeezed[0]),
        nflows.transforms.OneByOneConvolution(squeezed[0]),
    ]
    composite.add_transform(nflows.transforms.CompositeTransform(steps), squeezed)
    dim = prod(event_shape)
    flow = Flow(composite, nflows.distributions.StandardNormal((dim,)))
    return NflowsFlow(flow, event_shape, latent_shape=(dim,))


def realnvp(event_shape: tuple[int, ...], *, depth: int = 2) -> nn.Module:
    """Return masked affine couplings; images are flattened."""
    dim = prod(event_shape)
    layers = []
    for index in range(depth):
        nets = [normflows.nets.MLP([dim, 8, dim]) for _ in range(2)]
        mask = torch.arange(dim) % 2 == index % 2
        layers += [
            normflows.flows.MaskedAffineFlow(mask.float(), *nets),
            normflows.flows.ActNorm((dim,)),
        ]
    flow = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(dim), layers)
    return NormflowsFlow(flow, event_shape, shape=(dim,))


def conditional(event_shape: tuple[int, ...], context_size: int) -> nn.Module:
    (dim,) = event_shape
    layer = normflows.flows.MaskedAffineAutoregressive(dim, 8, context_features=context_size)
    base = normflows.distributions.DiagGaussian(dim, trainable=False)
    return NormflowsFlow(normflows.ConditionalNormalizingFlow(base, [layer]), event_shape)


def residual(event_shape: tuple[int, ...], *, depth: int = 2) -> nn.Module:
    dim = prod(event_shape)
    net = [normflows.nets.LipschitzMLP([dim, 8, dim], lipschitz_const=0.9) for _ in range(depth)]
    layers = [normflows.flows.Residual(each, reduce_memory=False) for each in net]
    return NormflowsFlow(
        normflows.NormalizingFlow(normflows.distributions.DiagGaussian(dim), layers), event_shape
    )


def glow(event_shape: tuple[int, ...]) -> nn.Module:
    """Return two levels of one Glow step each."""
    count, height, width = event_shape
    deep = (8 * count, height // 4, width // 4)
    shallow = (2 * count, height // 2, width // 2)
    levels = [
        [normflows.flows.GlowBlock(8 * count, 8), normflows.flows.Squeeze()],
        [normflows.flows.GlowBlock(4 * count, 8), normflows.flows.Squeeze()],
    ]
    bases = [normflows.distributions.DiagGaussian(shape) for shape in (deep, shallow)]
    flow = normflows.MultiscaleFlow(bases, levels, [normflows.flows.Merge()], class_cond=False)
    return NormflowsMultiscale(flow, event_shape)
