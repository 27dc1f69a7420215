"""The two terms of a flow's log-density, as training and its measures take them."""

import torch
from torch import Tensor

from flowbench.families.flow import Flow


def log_prob_terms(flow: Flow, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the base's and the log-det's term of log p, each ``(N,)``, at least in float32.

    A user's flow without `encode` has no such terms: all of it is given as the first.
    """
    if flow.can_encode:
        base_log_prob, log_det = flow.log_prob_terms(x, context)
    else:
        base_log_prob = flow(x, context)
        log_det = torch.zeros_like(base_log_prob)
    widest = torch.promote_types(base_log_prob.dtype, torch.float32)
    return base_log_prob.to(widest), log_det.to(widest)
