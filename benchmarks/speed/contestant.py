"""One implementation of an architecture, and what is timed of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

Mode = Literal["eager", "eager, fused", "compiled"]
Operation = Literal["step", "log_prob", "sample"]
OPERATIONS: tuple[Operation, ...] = ("step", "log_prob", "sample")

LEARNING_RATE = 1e-5
"""Small, so that the weights that are timed at the end are those of the beginning."""


def nothing() -> None:
    """Follow a step with nothing."""


@dataclass(frozen=True)
class Contestant:
    """An implementation, by the calls that its users make.

    Attributes:
        name: of the library.
        module: its parameters.
        log_prob: of points ``(N, *event)``; None where it has none.
        sample: so many; None where it cannot.
        after_step: what its training loop must do after each step.
        mode: whether calls are compiled, and whether the optimiser's step is one kernel.
    """

    name: str
    module: nn.Module
    log_prob: Callable[[Tensor], Tensor] | None
    sample: Callable[[int], Tensor] | None
    after_step: Callable[[], object] = nothing
    mode: Mode = "eager"

    @property
    def key(self) -> tuple[str, Mode]:
        """What tells it from the others of a race."""
        return self.name, self.mode

    def fused(self) -> "Contestant":
        """Return it with a fused optimiser, as `training` takes it."""
        return replace(self, mode="eager, fused")

    def compiled(self) -> "Contestant":
        """Return it with compiled calls, one program for each shape, and a fused optimiser.

        Random numbers remain torch's: a compiled program's own take five times as long on a CPU.
        """
        compiled: Any = partial(torch.compile, dynamic=False, options={"fallback_random": True})
        return replace(
            self,
            log_prob=self.log_prob and compiled(self.log_prob),
            sample=self.sample and compiled(self.sample),
            mode="compiled",
        )

    def calls(self, x: Tensor) -> dict[Operation, Callable[[], object]]:
        """Return what is timed, at a batch ``(N, *event)``.

        Peers take plain Adam, as does FlowBench in mode `eager`; the others take fused AdamW.
        """
        found: dict[Operation, Callable[[], object]] = {}
        if self.log_prob is not None:
            found["step"] = self._step(x)
            found["log_prob"] = self._evaluation(self.log_prob, x)
        if self.sample is not None:
            found["sample"] = self._evaluation(self.sample, len(x))
        return found

    def _step(self, x: Tensor) -> Callable[[], object]:
        assert self.log_prob is not None
        log_prob = self.log_prob
        trained = [p for p in self.module.parameters() if p.requires_grad]
        optimiser: Optimizer
        if self.mode == "eager":
            optimiser = Adam(trained, lr=LEARNING_RATE)
        else:
            optimiser = AdamW(trained, lr=LEARNING_RATE, fused=True)

        def step() -> None:
            self.module.train()
            optimiser.zero_grad()
            (-log_prob(x).mean()).backward()
            optimiser.step()
            self.after_step()

        return step

    def _evaluation(self, call: Callable[[Any], Tensor], given: Any) -> Callable[[], object]:
        def evaluate() -> Tensor:
            if self.module.training:
                self.module.eval()
            with torch.no_grad():
                return call(given)

        return evaluate
