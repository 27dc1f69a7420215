"""The contract of every invertible layer, and its view as a torch.distributions Transform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributions import Transform, constraints

from flowbench.errors import InputError
from flowbench.numerics.convergence import Convergence
from flowbench.spec.vocabulary import InverseLabel, LogDetLabel

if TYPE_CHECKING:
    from flowbench.bijections.reversible import BackwardPass


class Bijection(nn.Module):
    r"""An invertible map between data :math:`x` and latent :math:`z`, event by event.

    A subclass implements `encode` and `decode`. Its docstring says which of the two is the
    paper's formula. Shapes: ``x`` is ``(N, *event_shape)``, ``log_det`` is ``(N,)``, summed over
    the event and never over the batch. Dtype and device follow the input, which is never modified.

    A layer whose log-determinant costs something overrides `encode_map` and `decode_map`, so that
    sampling does not pay for it. A layer that conditions on a context sets `takes_context`.
    """

    takes_context: bool = False
    keeps_activations_because: str = ""
    """Why reversible backpropagation refuses this layer, half a sentence; empty if it does not."""
    path: str = ""
    """The layer's dotted name within its flow, for messages; empty outside of one."""
    convergence: Convergence | None = None
    """How the last iterative inverse ended; None for a layer that does not iterate."""

    @property
    def log_det_label(self) -> LogDetLabel:
        """How far the log-determinant can be trusted, in the present mode (train or eval)."""
        return "exact"

    @property
    def inverse_label(self) -> InverseLabel:
        """Whether both directions are in closed form, or one is iterated to a tolerance."""
        return "analytic"

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""Take data to latent; return :math:`z` and :math:`\log|\det \partial z/\partial x|`."""
        raise NotImplementedError

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""Take latent to data; return :math:`x` and :math:`\log|\det \partial x/\partial z|`."""
        raise NotImplementedError

    def encode_map(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Take data to latent without the log-determinant."""
        return self.encode(x, context)[0]

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Take latent to data without the log-determinant."""
        return self.decode(z, context)[0]

    @property
    def pieces(self) -> list[Bijection]:
        """The layers that this one is made of, from data to base, where it only runs them in turn.

        Reversible backpropagation takes them one at a time.
        """
        return [self]

    def encode_noting(
        self, x: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Encode, and note numbers, a few a sample, that spare `pull_back` solving an equation."""
        return *self.encode(x, context), None

    def pull_back(self, at: BackwardPass, context: Tensor | None, note: Tensor | None) -> None:
        """Find the input that `encode_noting` took to a latent, and pull gradients back to it.

        Args:
            at: stands at the latent, and moves on to the input.
            context: that of `encode_noting`.
            note: what `encode_noting` noted.
        """
        with at.graph():
            with torch.no_grad():
                x = self.decode_map(at.z, context)
            leaf = x.detach().requires_grad_()
            z, log_det = self.encode(leaf, context)
        outputs = [(z, at.grad), (log_det, at.grad_log_det)]
        at.move(x, at.pull(outputs, leaf, self, context))

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Set parameters that depend on data (actnorm) from a batch at this layer's input.

        Called once, in training mode, before the first step; under DDP on every rank with that
        rank's share of the batch. A layer that has nothing to set does nothing.
        """

    def after_step(self) -> None:
        """Restore constraints after an optimiser step (spectral norms); nothing by default."""

    def key_noise(self, seed: int, step: int, rows: Tensor) -> None:
        """Key the noise of the next call by what it belongs to, never by rank.

        Args:
            seed: the model seed.
            step: the optimiser step, or the number of the draw at evaluation.
            rows: the data set's row index of each sample, ``(N,)``, int64.
        """

    def refuse_context(self, context: Tensor | None) -> None:
        """Raise `InputError` by name when a layer that takes no context is handed one."""
        if context is not None:
            raise InputError(f"{type(self).__name__} takes no context")

    def transform(self, event_dim: int = 1, context: Tensor | None = None) -> BijectionTransform:
        """View this layer as a `torch.distributions.Transform`: calling it decodes.

        Args:
            event_dim: number of event dimensions, the same on both sides (1 for vectors).
            context: ``(N, C)``, fixed for the life of the transform.
        """
        return BijectionTransform(self, event_dim, context)


class BijectionTransform(Transform):
    """A `Bijection` as a torch.distributions Transform: forward = decode, inverse = encode."""

    bijective = True

    def __init__(self, bijection: Bijection, event_dim: int, context: Tensor | None) -> None:
        super().__init__(cache_size=1)
        self.bijection = bijection
        self.context = context
        self._domain = constraints.independent(constraints.real, event_dim)

    @property
    def domain(self) -> constraints.Constraint:  # type: ignore[override]
        return self._domain

    @property
    def codomain(self) -> constraints.Constraint:  # type: ignore[override]
        return self._domain

    def _call(self, x: Tensor) -> Tensor:
        return self.bijection.decode_map(x, self.context)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.bijection.encode_map(y, self.context)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the log-det of decode at latent ``x`` (torch.distributions calls it x)."""
        return self.bijection.decode(x, self.context)[1]
