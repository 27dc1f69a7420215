"""The planar layer, invertible in both directions."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from flowbench.bijections.base import Bijection
from flowbench.bijections.kept import Kept
from flowbench.bijections.precision import full_precision, widened
from flowbench.bijections.reversible import BackwardPass
from flowbench.numerics.implicit import scalar_root
from flowbench.numerics.monotone import ACTIVATIONS
from flowbench.spec.vocabulary import InverseLabel


class Planar(Bijection):
    r""":math:`z = x + \hat u\, \sigma(w^T x + b)`; the formula is `encode`.

    Source: Rezende and Mohamed 2015, "Variational Inference with Normalizing Flows", equations
    10 to 12 (there from latent to data: wrap the layer in `Inverse`) and appendix A.1, here for
    any activation of largest slope S: with :math:`m(a) = -1/S + \epsilon +
    \mathrm{softplus}(a)`,

    .. math:: \hat u = u + (m(w^T u) - w^T u)\, w / \|w\|^2

    has :math:`p = w^T \hat u \ge -1/S + \epsilon`, which makes the map a bijection. Its
    log-determinant is :math:`\log(1 + p\,\sigma'(\alpha))` at :math:`\alpha = w^T x + b`. `decode`
    projects the formula on w, which leaves :math:`\alpha + p\,\sigma(\alpha) = w^T z + b`, solves
    this one monotone equation to round-off, and subtracts.

    Args:
        dim: number of coordinates D.
        activation: a key of `ACTIVATIONS`.
        eps: the least of :math:`p + 1/S`; a layer's inverse magnifies errors by 1/eps at worst.
    """

    def __init__(self, dim: int, activation: str = "tanh", eps: float = 1e-3) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.eps = eps
        # Steep, small bends at places all over standardised data: near the identity, but each
        # layer with a corner of its own (gentle ones, |w| = 1, are all alike and stay so: on
        # moons they end at ten times the excess).
        self.w = nn.Parameter(3 * torch.randn(dim) / dim**0.5)
        self.u = nn.Parameter(0.1 * torch.randn(dim) / dim**0.5)
        self.b = nn.Parameter(2 * torch.randn(()))
        self._kept = Kept(self)

    @property
    def inverse_label(self) -> InverseLabel:
        return "iterative"

    def constrained(self) -> tuple[Tensor, Tensor]:
        r"""Return :math:`\hat u`, ``(D,)``, and :math:`p = w^T \hat u`."""
        raw = self.w @ self.u
        shift = softplus(raw) - raw + (self.eps - 1 / self.activation.max_slope)
        # For w = 0 the layer is a translation, and any u will do.
        norm = (self.w @ self.w).clamp(min=torch.finfo(self.w.dtype).tiny)
        u_hat = torch.addcmul(self.u, shift / norm, self.w)
        return u_hat, self.w @ u_hat

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, alpha, p = self._encode(x, context)
        return z, torch.log1p(p * self.activation.slope(alpha))

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, alpha, p = self._decode(z, context)
        return x, -torch.log1p(p * self.activation.slope(alpha))

    def encode_map(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self._encode(x, context)[0]

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self._decode(z, context)[0]

    def encode_noting(
        self, x: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        z, alpha, p = self._encode(x, context)
        return z, torch.log1p(p * self.activation.slope(alpha)), alpha

    def pull_back(self, at: BackwardPass, context: Tensor | None, note: Tensor | None) -> None:
        assert note is not None
        alpha = note.detach().requires_grad_()
        with torch.enable_grad(), full_precision(at.z):
            u_hat, p = self.constrained()
            height = self.activation.value(alpha)
            log_det = torch.log1p(p * self.activation.slope(alpha))
        # What runs over all coordinates is written out: a graph would run it twice.
        moved = height.detach()
        x = torch.addr(at.z, moved, u_hat.detach(), alpha=-1)
        outputs = [
            (height, at.grad @ u_hat.detach()),
            (u_hat, moved @ at.grad),
            (log_det, at.grad_log_det),
        ]
        grad_alpha = at.pull(outputs, alpha, self, context)
        at.count(self.w, grad_alpha @ x)
        at.count(self.b, grad_alpha.sum())
        at.move(x, torch.addr(at.grad, grad_alpha, self.w))

    def after_step(self) -> None:
        self._kept.clear()

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        self.refuse_context(context)
        with full_precision(x):
            x = widened(x)
            u_hat, p = self._kept.get("constrained", self.constrained)
            alpha = torch.addmv(self.b, x, self.w)
            # Its gradients are products of a matrix and a vector: nothing else of x's size.
            return torch.addr(x, self.activation.value(alpha), u_hat), alpha, p

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        self.refuse_context(context)
        with full_precision(z):
            z = widened(z)
            u_hat, p = self._kept.get("constrained", self.constrained)
            projected = torch.addmv(self.b, z, self.w)
            alpha, self.convergence = scalar_root(projected, p, self.activation)
            return torch.addr(z, self.activation.value(alpha), u_hat, alpha=-1), alpha, p
