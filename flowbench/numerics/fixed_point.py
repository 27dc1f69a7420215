"""Solving x + g(x) = y for a contraction g, with a certified error."""

from collections.abc import Callable

import torch
from torch import Tensor

from flowbench.numerics.convergence import Convergence

ROUNDING = 8.0
"""Round-off of one residual, in units of eps times the size of what enters it."""

PLAIN_STEPS = 8
"""Steps before acceleration begins. It saves few of the first ones, and its own small systems cost
as much as an evaluation: on a trained flow of 64 dimensions it pays beyond ten steps only."""


@torch.no_grad()
def solve_residual(
    g: Callable[[Tensor], Tensor],
    y: Tensor,
    lipschitz: float,
    *,
    tolerance: float = 0.0,
    max_iterations: int = 500,
    memory: int = 5,
) -> tuple[Tensor, Convergence]:
    r"""Solve :math:`x + g(x) = y` sample by sample.

    For any iterate x with residual :math:`r = y - x - g(x)`, Banach's bound says that the solution
    lies within :math:`|r| / (1 - L)` of x in the 2-norm; for plain iteration, x' = y - g(x), r is
    the step. So the iterates may come from anywhere: here from `PLAIN_STEPS` plain steps, and then
    from Anderson acceleration (Walker and Ni 2011, "Anderson acceleration for fixed-point
    iterations", problem 2.3), which falls back to a plain step, and forgets, for each sample whose
    residual has not fallen. A sample stops, and stays as it is, once the bound meets its tolerance.

    Args:
        g: acts on each sample of ``(N, *event)`` by itself and is Lipschitz with constant L < 1.
        y: ``(N, *event)``.
        lipschitz: L.
        tolerance: largest error relative to the size of x; never asked below the round-off of
            the residual, ``8 eps (|x| + |g(x)|) / (1 - L)``.
        max_iterations: evaluations of g before a sample is given up.
        memory: how many earlier steps the acceleration combines; 0 gives plain iteration.

    Returns:
        The best iterate of each sample, and how the solve ended: evaluations of g, whether the
        bound met the tolerance, and the bound itself.
    """
    n, shape, gap = len(y), y.shape, 1.0 - lipschitz
    target = y.flatten(1)
    eps = ROUNDING * torch.finfo(y.dtype).eps
    history = _History(target, min(memory, target.shape[1]))

    x = best = target
    best_residual = torch.zeros_like(target)
    error = target.new_full((n,), torch.inf)
    iterations = torch.zeros(n, dtype=torch.int64, device=y.device)
    converged = torch.zeros(n, dtype=torch.bool, device=y.device)
    hopeless = ~target.isfinite().all(1)
    for done in range(max_iterations):
        image = g(x.reshape(shape)).flatten(1)
        residual = target - x - image
        size = x.norm(dim=1)
        bound = residual.norm(dim=1) / gap
        better = (bound < error) & ~converged
        accelerated = memory > 0 and done >= PLAIN_STEPS
        if accelerated:
            history.add(x, residual, better)

        best = torch.where(better[:, None], x, best)
        best_residual = torch.where(better[:, None], residual, best_residual)
        error = torch.where(better, bound, error)
        iterations += ~converged
        rounding = eps * (size + image.norm(dim=1)) / gap
        converged |= better & (bound <= torch.maximum(tolerance * size, rounding))
        if bool((converged | hopeless).all()):
            break
        # From the best iterate a plain step always lowers the residual, by the factor L.
        x = best + best_residual
        if accelerated:
            x = x - history.correction(best_residual)
    return best.reshape(shape), Convergence(iterations, converged, error)


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


class _History:
    """The last few steps of each sample, which Anderson acceleration combines.

    Each is kept as the change of x and the change of the residual, divided by the latter's norm
    (successive steps shrink geometrically, and the least-squares problem would be badly scaled).
    """

    def __init__(self, target: Tensor, memory: int) -> None:
        self.memory = memory
        self.moves = target.new_zeros(len(target), memory, target.shape[1])
        self.changes = torch.zeros_like(self.moves)
        self.last: tuple[Tensor, Tensor] | None = None
        self.count = 0

    def add(self, x: Tensor, residual: Tensor, better: Tensor) -> None:
        """Take in an evaluation; a sample that it did not improve forgets what it had."""
        if self.last is not None:
            move, change = x - self.last[0], residual - self.last[1]
            norm = change.norm(dim=1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
            slot = self.count % self.memory
            self.moves[:, slot], self.changes[:, slot] = move / norm, change / norm
            self.moves *= better[:, None, None]
            self.changes *= better[:, None, None]
            self.count += 1
        self.last = x, residual

    def correction(self, residual: Tensor) -> Tensor:
        """Return what acceleration subtracts from the plain step at this residual."""
        if not self.count:
            return torch.zeros_like(residual)
        gram = self.changes @ self.changes.mT
        # Forgotten steps are rows of zeros; the ridge makes their share zero.
        ridge = 10 * torch.finfo(gram.dtype).eps
        gram.diagonal(dim1=1, dim2=2).add_(ridge)
        share = torch.linalg.solve(gram, self.changes @ residual[:, :, None])
        correction: Tensor = (share.mT @ (self.moves + self.changes))[:, 0]
        return correction
