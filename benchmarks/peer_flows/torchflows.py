"""torchflows' own flows."""

from typing import Any

import torchflows.flows
from torch import Tensor
from torchflows.bijections.finite.autoregressive import architectures as autoregressive
from torchflows.bijections.finite.multiscale import architectures as multiscale
from torchflows.bijections.finite.residual import architectures as residual

from flowbench.adapters.adapted import AdaptedFlow

Shape = tuple[int, ...]


class TorchflowsFlow(AdaptedFlow):
    """A `Flow` of torchflows."""

    flow: torchflows.flows.Flow

    def density(self, x: Tensor, context: Tensor | None) -> Tensor:
        log_prob: Tensor = self.flow.log_prob(x)
        return log_prob

    def draw(self, n: int, context: Tensor | None) -> Tensor:
        x: Tensor = self.flow.sample((n,))
        return x

    def to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = self.flow.bijection.forward(x)
        return z, log_det

    def to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_det = self.flow.bijection.inverse(z)
        return x, log_det


class Residual(TorchflowsFlow):
    """With a log-determinant that is estimated, and an inverse that is searched for."""

    log_det_label = "estimate"
    inverse_label = "iterative"


class OneWay(TorchflowsFlow):
    """Sampled, and not scored."""

    encode = None  # type: ignore[assignment]


def nice(event_shape: Shape) -> TorchflowsFlow:
    """Return `NICE`."""
    return _built(autoregressive.NICE, event_shape)


def realnvp(event_shape: Shape) -> TorchflowsFlow:
    """Return `RealNVP`."""
    return _built(autoregressive.RealNVP, event_shape)


def maf(event_shape: Shape) -> TorchflowsFlow:
    """Return `MAF`."""
    return _built(autoregressive.MAF, event_shape)


def spline_coupling(event_shape: Shape) -> TorchflowsFlow:
    """Return `CouplingRQNSF`."""
    return _built(autoregressive.CouplingRQNSF, event_shape)


def planar(event_shape: Shape) -> TorchflowsFlow:
    """Return `PlanarBijection`: it can be sampled, and not scored."""
    return _built(residual.PlanarBijection, event_shape, OneWay)


def radial(event_shape: Shape) -> TorchflowsFlow:
    """Return `RadialBijection`: it can be sampled, and not scored."""
    return _built(residual.RadialBijection, event_shape, OneWay)


def sylvester(event_shape: Shape) -> TorchflowsFlow:
    """Return `SylvesterBijection`: it can be sampled, and not scored."""
    return _built(residual.SylvesterBijection, event_shape, OneWay)


def iresnet(event_shape: Shape) -> TorchflowsFlow:
    """Return `InvertibleResNet`."""
    return _built(residual.InvertibleResNet, event_shape, Residual)


def residual_flow(event_shape: Shape) -> TorchflowsFlow:
    """Return `ResFlow`."""
    return _built(residual.ResFlow, event_shape, Residual)


def multiscale_realnvp(event_shape: Shape) -> TorchflowsFlow:
    """Return `MultiscaleRealNVP`, on images."""
    return _built(multiscale.MultiscaleRealNVP, event_shape, n_layers=1)


def glow(event_shape: Shape) -> TorchflowsFlow:
    """Return `AffineGlow`, on images."""
    return _built(multiscale.AffineGlow, event_shape, n_layers=1)


def _built(
    architecture: Any,
    event_shape: Shape,
    adapter: type[TorchflowsFlow] = TorchflowsFlow,
    **options: Any,
) -> TorchflowsFlow:
    options = {"n_layers": 2, **options}
    return adapter(torchflows.flows.Flow(architecture(event_shape, **options)), event_shape)
