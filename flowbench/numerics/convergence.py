"""What an iterative solver reports, sample by sample."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Convergence:
    """How the iterations of one solve ended.

    Attributes:
        iterations: how many each sample took, ``(N,)``, int64.
        converged: whether each sample met its tolerance, ``(N,)``, bool.
        error: a bound (where the solver can certify one) or a measured residual, ``(N,)``.
    """

    iterations: Tensor
    converged: Tensor
    error: Tensor

    @property
    def unconverged(self) -> int:
        """Number of samples that did not meet their tolerance."""
        return int((~self.converged).sum())
