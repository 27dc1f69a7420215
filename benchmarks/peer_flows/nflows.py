"""nflows' own flows."""

from math import prod
from typing import Any

import torch
from nflows import transforms
from nflows.distributions import StandardNormal
from nflows.flows import Flow, MaskedAutoregressiveFlow, SimpleRealNVP
from nflows.nn.nets import ConvResidualNet, ResidualNet
from torch import nn

from benchmarks.peer_flows import WIDTH
from flowbench.adapters.nflows import NflowsFlow

Shape = tuple[int, ...]


def realnvp(event_shape: Shape) -> NflowsFlow:
    """Return affine couplings (`SimpleRealNVP`)."""
    (dim,) = event_shape
    flow = SimpleRealNVP(dim, WIDTH, num_layers=2, num_blocks_per_layer=1)
    return NflowsFlow(flow, event_shape)


def maf(event_shape: Shape) -> NflowsFlow:
    """Return affine autoregressive layers (`MaskedAutoregressiveFlow`)."""
    (dim,) = event_shape
    flow = MaskedAutoregressiveFlow(dim, WIDTH, num_layers=2, num_blocks_per_layer=1)
    return NflowsFlow(flow, event_shape)


def spline_coupling(event_shape: Shape) -> NflowsFlow:
    """Return spline couplings (`tails="linear"`)."""
    return _splines(event_shape, tails="linear", tail_bound=3.0)


def bounded_spline_coupling(event_shape: Shape) -> NflowsFlow:
    """Return spline couplings by default (`tails=None`)."""
    return _splines(event_shape)


def lu(event_shape: Shape) -> NflowsFlow:
    """Return `LULinear` and an affine autoregressive layer."""
    (dim,) = event_shape
    layers = [
        transforms.LULinear(dim, identity_init=False),
        transforms.MaskedAffineAutoregressiveTransform(dim, WIDTH),
    ]
    return _composed(layers, event_shape)


def glow(event_shape: Shape) -> NflowsFlow:
    """Return `ActNorm`, `OneByOneConvolution` and an affine coupling, on images."""
    channels, height, width = event_shape
    shape = (4 * channels, height // 2, width // 2)
    mask = [index % 2 for index in range(shape[0])]

    def network(inputs: int, outputs: int) -> nn.Module:
        made: nn.Module = ConvResidualNet(inputs, outputs, WIDTH, num_blocks=1)
        return made

    layers = [
        transforms.SqueezeTransform(),
        transforms.ActNorm(shape[0]),
        transforms.OneByOneConvolution(shape[0]),
        transforms.AffineCouplingTransform(torch.tensor(mask), network),
    ]
    flow = Flow(transforms.CompositeTransform(layers), StandardNormal(shape))
    return NflowsFlow(flow, event_shape, latent_shape=shape)


def _splines(event_shape: Shape, **options: Any) -> NflowsFlow:
    (dim,) = event_shape

    def network(inputs: int, outputs: int) -> nn.Module:
        made: nn.Module = ResidualNet(inputs, outputs, WIDTH, num_blocks=1)
        return made

    layers = [
        transforms.PiecewiseRationalQuadraticCouplingTransform(
            torch.tensor([(column + turn) % 2 for column in range(dim)]), network, **options
        )
        for turn in range(2)
    ]
    return _composed(layers, event_shape)


def _composed(layers: list[nn.Module], event_shape: Shape) -> NflowsFlow:
    flow = Flow(transforms.CompositeTransform(layers), StandardNormal((prod(event_shape),)))
    return NflowsFlow(flow, event_shape)
