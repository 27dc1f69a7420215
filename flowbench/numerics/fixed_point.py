"""Solving x + g(x) = y for a contraction g, with a certified error."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from flowbench.numerics.convergence import Convergence

ROUNDING = 8.0
"""Round-off of one residual, in units of eps times the size of what enters it."""

MEMORY = 2
"""Secants that acceleration combines: on trained flows more of them save no evaluation, and each
costs eight passes over the batch."""

UNWATCHED = 4
"""Plain steps before residuals are looked at: hardly any sample is done so early, and acceleration
has little to combine."""


@torch.no_grad()
def solve_residual(
    g: Callable[[Tensor], Tensor],
    y: Tensor,
    lipschitz: float,
    *,
    tolerance: float = 0.0,
    max_iterations: int = 500,
    memory: int = MEMORY,
) -> tuple[Tensor, Convergence]:
    r"""Solve :math:`x + g(x) = y` sample by sample.

    For any iterate x with residual :math:`r = y - x - g(x)`, Banach's bound says that the solution
    lies within :math:`L |r| / (1 - L)` of :math:`x + r = y - g(x)`, a plain step, in the 2-norm. So
    the iterates may come from anywhere: here from Anderson acceleration (Walker and Ni 2011,
    "Anderson acceleration for fixed-point iterations", problem 2.3), which falls back to a plain
    step, and forgets, for each sample whose residual has not fallen. A sample stops, with that
    plain step as its last, once the bound meets its tolerance.

    Args:
        g: acts on each sample of ``(N, *event)`` by itself and is Lipschitz with constant L < 1.
        y: ``(N, *event)``.
        lipschitz: L.
        tolerance: largest error relative to the size of x; never asked below what the round-off
            of the residual allows, twice ``8 eps (|x| + |y|) / (1 - L)``, and 1 / (1 - L) times
            that for a sample whose residual no longer falls. The bound includes it.
        max_iterations: evaluations of g before a sample is given up.
        memory: how many earlier steps the acceleration combines; 0 gives plain iteration.

    Returns:
        What a plain step makes of the best iterate of each sample, and how the solve ended:
        evaluations of g, whether the bound met the tolerance or what round-off leaves of it, and
        the bound itself, which says which.
    """
    n, shape, gap = len(y), y.shape, 1.0 - lipschitz
    target = y.flatten(1)
    eps, asked = ROUNDING * torch.finfo(y.dtype).eps, target.norm(dim=1)
    secants = _Secants(min(memory, target.shape[1]))
    found = target.clone()
    error = target.new_full((n,), torch.inf)
    iterations = torch.full((n,), max_iterations, device=y.device)
    sought = target.isfinite().all(1)

    x = target
    unwatched = min(UNWATCHED, max_iterations - 1)
    for _ in range(unwatched):
        x = target - g(x.reshape(shape)).flatten(1)
    best = _Iterate(x, torch.zeros_like(x), error, error)
    worse = torch.zeros_like(sought)
    for done in range(unwatched + 1, max_iterations + 1):
        residual = target - x - g(x.reshape(shape)).flatten(1)
        tried = _Iterate(x, residual, residual.norm(dim=1), x.norm(dim=1))
        if done > unwatched + 1:
            secants.add(tried.x - best.x, tried.residual - best.residual)
        worse, fell_back = sought & ~(tried.norm < best.norm), worse
        any_worse = bool(worse.any())
        if any_worse:
            secants.forget(worse)
            tried = tried.replaced(worse, best)
        best = tried

        floor = rounding = eps * (asked + best.size)
        if any_worse:
            # A plain step that gains nothing has met round-off, 1 / (1 - L) times as large in it.
            floor = torch.where(worse & fell_back, rounding / gap, rounding)
        allowed = torch.maximum(tolerance * gap * best.size - rounding, floor)
        arrived = sought & (lipschitz * best.norm <= allowed)
        if arrived.any():
            found[arrived] = (best.x + best.residual)[arrived]
            error = torch.where(arrived, (lipschitz * best.norm + rounding) / gap, error)
            iterations = torch.where(arrived, done, iterations)
            sought = sought & ~arrived
            if not sought.any():
                break
        x = secants.step(best.x, best.residual)
    converged = error.isfinite()
    found[sought] = (best.x + best.residual)[sought]
    error = torch.where(sought, (lipschitz * best.norm + rounding) / gap, error)
    return found.reshape(shape), Convergence(iterations, converged, error)


def with_implicit_gradient(
    g: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, lipschitz: float, max_iterations: int
) -> Tensor:
    r"""Give a solution of :math:`x + g(x) = y` the gradients of the implicit function theorem.

    With a gradient v at x, :math:`w = (I + J^T)^{-1} v` is the gradient at y, and it reaches the
    parameters of g through :math:`y - g(x)` at fixed x. J^T is a contraction as J is: the same
    solver finds w, to round-off.

    Args:
        g: differentiable in its input and, where they want it, in its parameters.
        x: the solution, ``(N, *event)``.
        y: the right-hand side, of the same shape.
        lipschitz: the constant L < 1 of g.
        max_iterations: as in `solve_residual`.
    """
    point = x.detach().requires_grad_()
    image = g(point)
    step = y - image
    if not step.requires_grad:
        return x

    def adjoint(w: Tensor) -> Tensor:
        with torch.enable_grad():
            return torch.autograd.grad(image, point, w, retain_graph=True)[0]

    def solve_adjoint(v: Tensor | None) -> Tensor | None:
        if v is None:  # autograd's word for a gradient that is zero throughout
            return None
        return solve_residual(adjoint, v, lipschitz, max_iterations=max_iterations)[0]

    step.register_hook(solve_adjoint)
    # The value is the solver's, with or without gradients.
    return x.detach() + (step - step.detach())


class _Iterate(NamedTuple):
    """Where each sample stands: x and its residual, ``(N, D)``, and the norms of both."""

    x: Tensor
    residual: Tensor
    norm: Tensor
    size: Tensor

    def replaced(self, samples: Tensor, other: "_Iterate") -> "_Iterate":
        """Return it with some samples, ``(N,)`` of bool, taken from another."""
        return _Iterate(
            *(
                torch.where(samples if mine.dim() == 1 else samples[:, None], theirs, mine)
                for mine, theirs in zip(self, other, strict=True)
            )
        )


class _Secants:
    """The last few steps of each sample, which Anderson acceleration combines.

    Of each step, the change of the residual and what takes that change out of a plain step; made
    orthonormal as they come (Gram and Schmidt), so that combining them solves no system.
    """

    def __init__(self, memory: int) -> None:
        self.pairs: deque[tuple[Tensor, Tensor]] = deque(maxlen=memory)

    def add(self, move: Tensor, change: Tensor) -> None:
        """Take in a step of x, ``(N, D)``, and the change of the residual that it brought."""
        if self.pairs.maxlen == 0:
            return
        correction = move.add_(change)
        for unit, known in self.pairs:
            share = _dot(unit, change)
            change.addcmul_(share, unit, value=-1)
            correction.addcmul_(share, known, value=-1)
        scale = change.norm(dim=1, keepdim=True).clamp_(min=torch.finfo(move.dtype).tiny)
        self.pairs.append((change.div_(scale), correction.div_(scale)))

    def forget(self, samples: Tensor) -> None:
        """Let samples, ``(N,)`` of bool, take a plain step next."""
        for pair in self.pairs:
            for vectors in pair:
                vectors[samples] = 0.0

    def step(self, x: Tensor, residual: Tensor) -> Tensor:
        """Return the next iterate after x, whose residual is given."""
        following = x + residual
        for unit, correction in self.pairs:
            following.addcmul_(_dot(unit, residual), correction, value=-1)
        return following


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1, keepdim=True)
