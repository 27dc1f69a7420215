"""The residual block x + g(x) with a contractive branch g."""

from dataclasses import dataclass

import torch
from torch import Tensor

from flowbench.bijections.estimated import EstimatedLogDet, LogDetMethod
from flowbench.bijections.precision import full_precision, widened
from flowbench.networks.contractive import jacobian_norms
from flowbench.networks.lipschitz import LipschitzLayer, SpectralLayer
from flowbench.numerics.fixed_point import solve_residual, with_implicit_gradient
from flowbench.spec.vocabulary import InverseLabel


@dataclass(frozen=True)
class Certificate:
    """What is known of a branch's Lipschitz constant.

    Attributes:
        declared: the bound L that the branch was built for.
        bound: an upper bound of the constant, computed from its weights as they are.
    """

    declared: float
    bound: float

    @property
    def certified(self) -> bool:
        """Whether the block is proven invertible."""
        return self.bound < 1.0


class ResidualBlock(EstimatedLogDet):
    r""":math:`z = x + g(x)` with g of Lipschitz constant L < 1; the formula is `encode`.

    Sources: Behrmann et al. 2019, "Invertible Residual Networks", equation 1; Chen et al. 2019,
    "Residual Flows for Invertible Generative Modeling". The log-determinant,
    :math:`\log\det(I + J_g)`, is found as `EstimatedLogDet` says.

    `decode` solves for x until Banach's bound certifies `tolerance`, relative to the size of x,
    or round-off if that is more; samples that do not get there are flagged in `convergence`. Its
    gradients follow from the implicit function theorem.
    The block runs in its parameters' precision whatever autocast says.

    Args:
        branch: g, from ``(N, *event)`` to the same shape; its `lipschitz` is L.
        dim: number of elements D of an event.
        log_det: `exact`, `series` or `roulette`.
        terms: see `EstimatedLogDet`, as for the rest.
        probes: of each sample.
        stream: tells this block's noise from that of other blocks.
    """

    keeps_activations_because = (
        "would solve a fixed point to round-off, block by block, in every step"
    )

    def __init__(
        self,
        branch: LipschitzLayer,
        dim: int,
        *,
        log_det: LogDetMethod = "roulette",
        terms: int | None = None,
        probes: int = 1,
        stream: int = 0,
    ) -> None:
        super().__init__(dim, log_det, terms, probes, stream)
        if not branch.lipschitz < 1.0:
            raise ValueError(
                f"the branch's Lipschitz bound is {branch.lipschitz}; below 1 is needed"
            )
        self.branch = branch
        self.tolerance = 0.0
        self.max_iterations = 500

    @property
    def lipschitz(self) -> float:
        """The bound L of the whole branch."""
        return self.branch.lipschitz

    @property
    def inverse_label(self) -> InverseLabel:
        return "iterative"

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        with full_precision(x):
            x = widened(x)
            image, product = self.branch.linearise(x)
            return x + image, self._log_det(x, product)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.refuse_context(context)
        with full_precision(z):
            x = self._solve(widened(z))
            # Of the map at the recovered x, where encode would take it: not at z.
            return x, -self._log_det(x, self.branch.linearise(x)[1])

    def encode_map(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.refuse_context(context)
        with full_precision(x):
            x = widened(x)
            image: Tensor = self.branch(x)
            return x + image

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        self.refuse_context(context)
        with full_precision(z):
            return self._solve(widened(z))

    def after_step(self) -> None:
        for module in self.branch.modules():
            if isinstance(module, SpectralLayer):
                module.restore(module.step_tolerance, advance=True)

    def certificate(self) -> Certificate:
        """Bound the branch's Lipschitz constant from above (SVD, FFT); dear for wide images."""
        return Certificate(self.lipschitz, self.branch.norm_bound())

    def measured_lipschitz(self, x: Tensor) -> Tensor:
        """Return the norm of the branch's Jacobian at each sample, ``(N,)``, from below."""
        return jacobian_norms(self.branch, x)

    def _solve(self, z: Tensor) -> Tensor:
        """Return x with x + g(x) = z, differentiable in z and in the branch's parameters."""
        x, self.convergence = solve_residual(
            self.branch.frozen(),
            z.detach(),
            self.lipschitz,
            tolerance=self.tolerance,
            max_iterations=self.max_iterations,
        )
        if not torch.is_grad_enabled():
            return x
        return with_implicit_gradient(self.branch, x, z, self.lipschitz, self.max_iterations)
