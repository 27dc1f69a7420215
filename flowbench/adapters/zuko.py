"""Flows written in zuko, and two of them as reference rows for every comparison.

zuko works on vectors: images are flattened on the way in. Importing it switches off the checks of
torch.distributions' arguments in the whole process.
"""

from functools import partial
from math import prod
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor
from torch.distributions import Transform

from flowbench.adapters.adapted import AdaptedFlow
from flowbench.bijections.actnorm import ActNorm
from flowbench.bijections.base import Bijection
from flowbench.bijections.preprocess import PreprocessSteps
from flowbench.errors import InputError
from flowbench.families.bases import NormalBase
from flowbench.families.flow import Flow, flat
from flowbench.families.steps import Depth, Normalisation, Widths

try:
    from zuko import flows, lazy, transforms
except ImportError:
    raise InputError("zuko is not installed: pip install 'flowbench[bench]'") from None


class ZukoTransform(Bijection):
    """A lazy transformation of zuko as a layer on vectors; `encode` is its forward.

    Args:
        transform: of events ``(D,)``.
        context_size: number of context features that it takes.
    """

    keeps_activations_because = "may invert its layers one coordinate after the other"

    def __init__(self, transform: lazy.LazyTransform, context_size: int = 0) -> None:
        super().__init__()
        self.transformation = transform
        self.takes_context = context_size > 0

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return _with_log_det(self.transformation(context), x)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return _with_log_det(self.transformation(context).inv, z)

    def encode_map(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        z: Tensor = self.transformation(context)(x)
        return z

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        x: Tensor = self.transformation(context).inv(z)
        return x


def _with_log_det(transform: Transform, x: Tensor) -> tuple[Tensor, Tensor]:
    """Apply a transformation to ``(N, D)``; return the log-det ``(N,)`` too."""
    y, log_det = transform.call_and_ladj(x)  # type: ignore[attr-defined]  # zuko adds it
    # An elementwise transformation gives a coordinate each.
    return y, log_det if log_det.dim() == 1 else log_det.flatten(1).sum(1)


class ZukoFlow(AdaptedFlow):
    """A `Flow` of zuko: a lazy transformation from data to the latent, and a base.

    The inverses of NAF, UNAF, SOSPF and GF are iterative, the log-det of CNF is an estimate
    unless it is asked to be exact.

    Args:
        flow: on vectors of the event's size.
        event_shape: ``(D,)``, or ``(C, H, W)``, which is flattened.
    """

    flow: lazy.Flow

    def __init__(self, flow: lazy.Flow, event_shape: tuple[int, ...]) -> None:
        super().__init__(flow, event_shape, shape=(prod(event_shape),))

    def density(self, x: Tensor, context: Tensor | None) -> Tensor:
        log_prob: Tensor = self.flow(context).log_prob(x)
        return log_prob

    def draw(self, n: int, context: Tensor | None) -> Tensor:
        # With a context the distribution has a row for each sample already.
        x: Tensor = self.flow(context).rsample((n,) if context is None else ())
        return x

    def to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return _with_log_det(self.flow.transform(context), x)

    def to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return _with_log_det(self.flow.transform(context).inv, z)

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Take flat latents to data without the log-det."""
        x: Tensor = self.flow.transform(context).inv(z)
        return x.reshape(len(z), *self.event_shape)


class SplineCoupling(Flow):
    """Couplings by rational-quadratic splines, RQ-NSF (C): a reference row, by zuko.

    Outside of its interval a spline is the identity; the normalisation keeps most data inside.

    Args:
        event_shape: ``(D,)``, or ``(C, H, W)``, which is flattened.
        depth: number of couplings.
        bins: of each spline.
        bound: half the length of the interval on which the splines act.
        hidden: widths of each conditioner.
        split: which coordinates move: those of even and of odd index by turns, or a random half.
        normalisation: `actnorm` in front of each coupling, or `none`, as in zuko's own.
        preprocess: see `Flow`.
        context_size: number of context features that the conditioners take.
    """

    paper = "Durkan, Bekasov, Murray and Papamakarios 2019, Neural Spline Flows"

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        depth: Depth = 8,
        bins: Annotated[int, Field(ge=2, le=64)] = 8,
        bound: Annotated[float, Field(gt=0, le=100)] = 5.0,
        hidden: Widths = (128, 128),
        split: Literal["parity", "random"] = "parity",
        normalisation: Normalisation = "actnorm",
        preprocess: Bijection | PreprocessSteps | None = None,
        context_size: int = 0,
    ) -> None:
        spline = flows.NICE(
            prod(event_shape),
            context_size,
            transforms=depth,
            randmask=split == "random",
            univariate=partial(transforms.MonotonicRQSTransform, bound=bound),
            shapes=[(bins,), (bins,), (bins - 1,)],
            hidden_features=hidden,
        )
        super().__init__(
            event_shape,
            _layers(spline, event_shape, normalisation, context_size),
            NormalBase(prod(event_shape)),
            preprocess=preprocess,
            context_size=context_size,
        )


class MAF(Flow):
    """Affine maps, each coordinate's decided by those before it: a reference row, by zuko.

    Its samples take D passes through each layer's network.

    Args:
        event_shape: ``(D,)``, or ``(C, H, W)``, which is flattened.
        depth: number of autoregressive layers, of which every other runs in reversed order.
        hidden: widths of each masked network.
        normalisation: `actnorm` in front of each layer (the paper: batch normalisation), or
            `none`, as in zuko's own.
        preprocess: see `Flow`.
        context_size: number of context features that the networks take.
    """

    paper = (
        "Papamakarios, Pavlakou and Murray 2017, Masked Autoregressive Flow for Density Estimation"
    )

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        depth: Depth = 5,
        hidden: Widths = (128, 128),
        normalisation: Normalisation = "actnorm",
        preprocess: Bijection | PreprocessSteps | None = None,
        context_size: int = 0,
    ) -> None:
        maf = flows.MAF(prod(event_shape), context_size, transforms=depth, hidden_features=hidden)
        super().__init__(
            event_shape,
            _layers(maf, event_shape, normalisation, context_size),
            NormalBase(prod(event_shape)),
            preprocess=preprocess,
            context_size=context_size,
        )


def _layers(
    flow: lazy.Flow, event_shape: tuple[int, ...], normalisation: Normalisation, context_size: int
) -> Bijection:
    """Return a flow's transformations, each behind its normalisation; its base is left out."""
    layers: list[Bijection] = []
    for transform in flow.transform.transforms:
        if normalisation == "actnorm":
            layers.append(ActNorm((prod(event_shape),)))
        layers.append(ZukoTransform(transform, context_size))
    return flat(event_shape, layers)
