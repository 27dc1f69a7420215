"""normflows' own flows."""

from math import prod

import normflows
import torch
from normflows import distributions, flows, nets
from torch import Tensor, nn

from benchmarks.peer_flows import WIDTH
from flowbench.adapters.normflows import NormflowsFlow, NormflowsMultiscale

Shape = tuple[int, ...]


class OwnMethods(NormflowsFlow):
    """Asked by `inverse_and_log_det` and `forward_and_log_det`, not layer by layer."""

    def to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = self.flow.inverse_and_log_det(x)
        return z, log_det

    def to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_det = self.flow.forward_and_log_det(z)
        return x, log_det


class OneWay(NormflowsFlow):
    """Sampled, and not scored."""

    encode = None  # type: ignore[assignment]


def realnvp(event_shape: Shape) -> NormflowsFlow:
    """Return masked affine couplings (`MaskedAffineFlow`)."""
    return _composed(_realnvp(event_shape), event_shape)


def realnvp_by_its_own_methods(event_shape: Shape) -> NormflowsFlow:
    """Return the same, asked by `inverse_and_log_det`."""
    return OwnMethods(_flow(_realnvp(event_shape), event_shape), event_shape)


def coupling_block(event_shape: Shape) -> NormflowsFlow:
    """Return `AffineCouplingBlock` and `Permute`."""
    (dim,) = event_shape
    layers = []
    for _ in range(2):
        network = nets.MLP([(dim + 1) // 2, WIDTH, 2 * (dim // 2)])
        layers += [flows.AffineCouplingBlock(network), flows.Permute(dim, mode="swap")]
    return _composed(layers, event_shape)


def spline_coupling(event_shape: Shape) -> NormflowsFlow:
    """Return `CoupledRationalQuadraticSpline` and `LULinearPermute`."""
    (dim,) = event_shape
    layers = [flows.CoupledRationalQuadraticSpline(dim, 1, WIDTH), flows.LULinearPermute(dim)]
    return _composed(layers, event_shape)


def spline(event_shape: Shape) -> NormflowsFlow:
    """Return `AutoregressiveRationalQuadraticSpline`."""
    (dim,) = event_shape
    layers = [flows.AutoregressiveRationalQuadraticSpline(dim, 1, WIDTH) for _ in range(2)]
    return _composed(layers, event_shape)


def maf(event_shape: Shape) -> NormflowsFlow:
    """Return `MaskedAffineAutoregressive`."""
    (dim,) = event_shape
    layers = [flows.MaskedAffineAutoregressive(dim, WIDTH, num_blocks=1) for _ in range(2)]
    return _composed(layers, event_shape)


def planar(event_shape: Shape) -> NormflowsFlow:
    """Return `Planar` with tanh: it can be sampled, and not scored."""
    return OneWay(_flow([flows.Planar(event_shape) for _ in range(2)], event_shape), event_shape)


def leaky_planar(event_shape: Shape) -> NormflowsFlow:
    """Return `Planar` with leaky_relu, which has an inverse."""
    layers = [flows.Planar(event_shape, act="leaky_relu") for _ in range(2)]
    return _composed(layers, event_shape)


def radial(event_shape: Shape) -> NormflowsFlow:
    """Return `Radial`: it can be sampled, and not scored."""
    return OneWay(_flow([flows.Radial(event_shape) for _ in range(2)], event_shape), event_shape)


def residual(event_shape: Shape) -> NormflowsFlow:
    """Return `Residual` over `LipschitzMLP`."""
    (dim,) = event_shape
    layers = []
    for _ in range(2):
        network = nets.LipschitzMLP([dim, WIDTH, WIDTH, dim], init_zeros=True, lipschitz_const=0.9)
        layers += [flows.Residual(network), flows.ActNorm(dim)]
    return _composed(layers, event_shape)


def glow(event_shape: Shape) -> NormflowsMultiscale:
    """Return two levels of `GlowBlock`, on images."""
    channels, height, width = event_shape
    shapes = [(8 * channels, height // 4, width // 4), (2 * channels, height // 2, width // 2)]
    levels = [
        [flows.GlowBlock(8 * channels, WIDTH), flows.Squeeze()],
        [flows.GlowBlock(4 * channels, WIDTH), flows.Squeeze()],
    ]
    bases = [distributions.DiagGaussian(shape) for shape in shapes]
    flow = normflows.MultiscaleFlow(bases, levels, [flows.Merge()], class_cond=False)
    return NormflowsMultiscale(flow, event_shape)


def _realnvp(event_shape: Shape) -> list[nn.Module]:
    (dim,) = event_shape
    layers = []
    for turn in range(2):
        mask = (torch.arange(dim) % 2 == turn).float()
        shift, scale = (nets.MLP([dim, WIDTH, dim], init_zeros=True) for _ in range(2))
        layers += [flows.MaskedAffineFlow(mask, shift, scale), flows.ActNorm(dim)]
    return layers


def _flow(layers: list[nn.Module], event_shape: Shape) -> nn.Module:
    flow: nn.Module = normflows.NormalizingFlow(
        distributions.DiagGaussian(prod(event_shape)), layers
    )
    return flow


def _composed(layers: list[nn.Module], event_shape: Shape) -> NormflowsFlow:
    return NormflowsFlow(_flow(layers, event_shape), event_shape)
