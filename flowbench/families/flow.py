"""What every family is: preprocessing, a bijection and a base distribution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from flowbench.bijections.base import Bijection
from flowbench.bijections.compose import Compose
from flowbench.bijections.preprocess import PreprocessSteps, as_preprocess
from flowbench.errors import InputError
from flowbench.families.bases import Base
from flowbench.families.distribution import FlowDistribution
from flowbench.spec.vocabulary import InverseLabel, LogDetLabel, weakest_log_det


class Flow(nn.Module):
    """A density on continuous events, trained and sampled through one bijection.

    A family is a subclass whose constructor's keyword arguments are its hyperparameters. Calling
    a flow gives the log-density in nats, in the units of the data: the deterministic
    preprocessing is the first part of the flow and its log-determinant is included.

    Args:
        event_shape: ``(D,)`` for vectors, ``(C, H, W)`` for images.
        flow: takes ``(N, *event_shape)`` to the flat latent ``(N, D)``.
        base: the distribution of the latent.
        preprocess: a bijection from data units to flow coordinates, its description as a list
            of ``{name, ...}``, or None for data that are in flow coordinates already.
        context_size: number of context features C, 0 for an unconditional density.
    """

    paper: str = ""
    """Author, year and title, shown by `flowbench families`."""
    can_encode = True
    can_decode = True
    family_name: str = ""
    """The name it was created by."""
    hyperparameters: Mapping[str, Any] = MappingProxyType({})
    """The arguments it was created with, all of them."""

    def __init__(
        self,
        event_shape: tuple[int, ...],
        flow: Bijection,
        base: Base,
        *,
        preprocess: Bijection | PreprocessSteps | None = None,
        context_size: int = 0,
    ) -> None:
        super().__init__()
        if context_size and not flow.takes_context:
            raise InputError(f"family {type(self).__name__} takes no context")
        self.event_shape = tuple(event_shape)
        self.dim = prod(event_shape)
        self.context_size = context_size
        self.preprocess = as_preprocess(preprocess, self.event_shape)
        self.flow = flow
        self.base = base
        for path, module in self.named_modules():
            if isinstance(module, Bijection):
                module.path = path

    @property
    def log_det_label(self) -> LogDetLabel:
        """The weakest label of the layers, in the present mode."""
        return weakest_log_det([self.preprocess.log_det_label, self.flow.log_det_label])

    @property
    def inverse_label(self) -> InverseLabel:
        """Whether both directions are in closed form."""
        return self.flow.inverse_label

    def bijections(self) -> Iterator[Bijection]:
        """Every layer, at any depth, wrappers and compositions included."""
        return (module for module in self.modules() if isinstance(module, Bijection))

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take data ``(N, *event_shape)`` to the latent ``(N, D)`` and the log-det ``(N,)``."""
        context = self._checked(context, len(x))
        y, log_det = self.preprocess.encode(x)
        z, flow_log_det = self.flow.encode(y, context)
        return z, log_det + flow_log_det

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take latents ``(N, D)`` to data ``(N, *event_shape)`` and the log-det ``(N,)``."""
        context = self._checked(context, len(z))
        y, log_det = self.flow.decode(z, context)
        x, outer_log_det = self.preprocess.decode(y)
        return x, log_det + outer_log_det

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Take latents to data without paying for a log-determinant."""
        context = self._checked(context, len(z))
        return self.preprocess.decode_map(self.flow.decode_map(z, context))

    def log_prob_terms(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the two terms of `log_prob`, the base's and the log-det's, each ``(N,)``."""
        z, log_det = self.encode(x, context)
        return self.base.log_prob(z), log_det

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the log-density in nats, ``(N,)``."""
        base_log_prob, log_det = self.log_prob_terms(x, context)
        return base_log_prob + log_det

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return `log_prob`; calling the module keeps DDP's and torch.compile's hooks in play."""
        return self.log_prob(x, context)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw ``(n, *event_shape)`` in data units, without gradients or log-determinants.

        Args:
            n: number of samples.
            context: ``(n, C)``, or ``(C,)`` for the same context throughout.
            temperature: scale of the base's samples.
            generator: source of the base's noise.
        """
        return self.rsample(n, context, temperature, generator)

    def rsample(
        self,
        n: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw as `sample` does, differentiably in the flow's parameters."""
        return self.decode_map(self.base.rsample(n, temperature, generator), context)

    @torch.no_grad()
    def sample_and_log_prob(
        self,
        n: int,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw samples and their log-densities from the same pass."""
        z = self.base.sample(n, generator=generator)
        x, log_det = self.decode(z, context)
        return x, self.base.log_prob(z) - log_det

    def distribution(self, context: Tensor | None = None) -> FlowDistribution:
        """View this flow, at a fixed context, as a torch.distributions Distribution."""
        return FlowDistribution(self, context)

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Set data-dependent parameters (actnorm) from a batch in data units."""
        with torch.no_grad():
            y = self.preprocess.encode_map(x)
            self.flow.initialise(y, self._checked(context, len(x)))

    def after_step(self) -> None:
        """Restore every layer's constraints after an optimiser step."""
        for layer in self.bijections():
            layer.after_step()

    def key_noise(self, seed: int, step: int, rows: Tensor) -> None:
        """Key the noise of every layer's next call; see `Bijection.key_noise`."""
        for layer in self.bijections():
            layer.key_noise(seed, step, rows)

    def _checked(self, context: Tensor | None, n: int) -> Tensor | None:
        return checked_context(context, n, self.context_size, type(self).__name__)


def checked_context(context: Tensor | None, n: int, size: int, name: str) -> Tensor | None:
    """Return the context with a row for each of `n` samples, or refuse it in a sentence.

    Args:
        context: ``(n, size)``, ``(size,)`` for all samples, or None where `size` is 0.
        n: number of samples.
        size: number of context features.
        name: of the family, for the sentence.

    Raises:
        InputError: if it is missing, not asked for or of another shape.
    """
    if size == 0:
        if context is not None:
            raise InputError(f"family {name} was built without a context")
        return None
    if context is None or context.shape not in ((size,), (n, size)):
        shape = None if context is None else tuple(context.shape)
        raise InputError(f"family {name}: context of shape {shape} given; ({n}, {size}) expected")
    return context.expand(n, size)


def flat(event_shape: tuple[int, ...], layers: list[Bijection]) -> Compose:
    """Compose layers that work on vectors, with a `Flatten` first where events are images."""
    from flowbench.bijections.reshape import Flatten

    return Compose([Flatten(event_shape), *layers] if len(event_shape) > 1 else layers)
