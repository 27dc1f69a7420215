"""The density of a training step, compiled; or why it is not."""

import logging
from typing import Literal

import torch
from torch import Tensor

from flowbench.bijections.inverse import Inverse
from flowbench.bijections.residual import ResidualBlock
from flowbench.data.module import rank_and_world_size
from flowbench.errors import InputError
from flowbench.families.flow import Flow
from flowbench.spec.run import TrainingSpec
from flowbench.training.terms import log_prob_terms

logger = logging.getLogger(__name__)

KEY = "training.compile = true"


class CompiledTerms:
    """Calls `log_prob_terms` of a flow as one compiled program for each shape of batch.

    The function is compiled, not the flow: its parameters and checkpoints keep their names. What
    depends on a step stays outside: noise is drawn before the call and handed in, and layers
    initialise and restore their constraints between calls. Where no program can be made of a flow,
    the log says so once, and its function is called as it is.

    Args:
        flow: to be trained.
        spec: of the training.

    Attributes:
        why_eager: half a sentence; empty where calls are compiled.
    """

    def __init__(self, flow: Flow, spec: TrainingSpec) -> None:
        self.flow = flow
        self.why_eager = ""
        # torch keeps eight programs of a function: those of earlier flows would count.
        torch.compiler.reset()
        self._compiled = torch.compile(log_prob_terms, fullgraph=True, dynamic=False)
        if reason := why_not(flow, spec):
            self._run_eager(reason)

    def __call__(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the two terms at ``x``, each ``(N,)``."""
        if self.why_eager:
            return log_prob_terms(self.flow, x, context)
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

        for layer in self.flow.bijections():
            if isinstance(layer, ResidualBlock):
                layer.draw_ahead()
        try:
            base_log_prob, log_det = self._programmed(x, context)
        except (TorchDynamoException, FailOnRecompileLimitHit) as error:
            self._run_eager(f"torch cannot compile this flow ({_first_line(error)})")
            return log_prob_terms(self.flow, x, context)
        if x.device.type == "cpu" and not bool(log_det.isfinite().all()):
            # A compiled layer cannot refuse a thing by name; asked again, uncompiled, it does.
            return log_prob_terms(self.flow, x, context)
        return base_log_prob, log_det

    @property
    def label(self) -> str:
        """What the record says of how steps ran."""
        return f"no: {self.why_eager}" if self.why_eager else "yes"

    def _programmed(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the terms by the compiled program, which is made where there is none yet."""
        from torch._dynamo import config as tracing
        from torch._dynamo.exc import BackendCompilerFailed
        from torch._functorch import config
        from torch._inductor.utils import fresh_cache

        # The backward program is made here too: in the backward pass it is too late to go back.
        # DDP would have a program cut at each of its buckets, and loops cannot be cut.
        with (
            config.patch(force_non_lazy_backward_lowering=True),
            tracing.patch(optimize_ddp=False),
        ):
            try:
                return self._compiled(self.flow, x, context)
            except BackendCompilerFailed as error:
                if not isinstance(error.inner_exception, ImportError):
                    raise
            # A process that was killed while compiling left half a file in the cache, for good.
            torch.compiler.reset()
            with fresh_cache():
                return self._compiled(self.flow, x, context)

    def _run_eager(self, reason: str) -> None:
        self.why_eager = reason
        if rank_and_world_size()[0] == 0:
            logger.warning("%s: steps run uncompiled, for %s", KEY, reason)


def why_not(flow: Flow, spec: TrainingSpec) -> str:
    """Return why a flow is not to be compiled, as half a sentence; empty if it is."""
    if spec.reversible:
        return "reversible backpropagation runs the layers in the backward pass, one by one"
    for layer in flow.bijections():
        if isinstance(layer, Inverse) and layer.inverse_label == "iterative":
            return "the density iterates until each sample has converged (direction: generative)"
    return ""


def require_compiler(device: Literal["cpu", "cuda"]) -> None:
    """Make sure that torch finds what it makes programs with.

    Raises:
        InputError: if this machine has no C++ compiler, or torch no Triton for its GPUs.
    """
    if device == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise InputError(f"{KEY} needs Triton for these GPUs; allowed without: false")
        return
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise InputError(
            f"{KEY} needs a C++ compiler, and there is none (g++, or what CXX names); "
            "allowed without: false"
        ) from None


def _first_line(error: Exception) -> str:
    # What the back end raised stands in the second line of what torch says of it.
    error = getattr(error, "inner_exception", error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
