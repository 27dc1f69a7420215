"""The likelihood of integers, importance-weighted over dequantization draws: a tighter bound."""

from __future__ import annotations

from math import log

import torch

from flowbench.data.batch import rows_at_once
from flowbench.data.module import FlowData
from flowbench.evaluation.likelihood import Scores, estimator_variance
from flowbench.evaluation.measuring import SEED, measuring, place
from flowbench.evaluation.result import Evaluation
from flowbench.families.flow import Flow
from flowbench.families.foreign import ForeignFlow
from flowbench.metrics.bits_per_dim import BitsPerDim
from flowbench.spec.vocabulary import SPLIT_PREFIX, Split

MOST_NOISE = 0.05
"""Deviation of an estimated log-det, nats a point, above which its noise would count as gain: the
logarithm of a mean lies above the mean of logarithms by half the variance."""

PROBED = 256
"""Points at which an estimated log-det's deviation is measured."""


def refusal(flow: Flow, data: FlowData, split: Split) -> str | None:
    """Say in a sentence why a likelihood cannot be importance-weighted, where it cannot.

    Args:
        flow: the model.
        data: the data set it was trained on.
        split: where an estimated log-det's deviation is measured.
    """
    key = "evaluation.importance_draws"
    if not data.dequantise.active:
        return f"{key}: {data.info.name} has no integers, so there are no draws to weight"
    if isinstance(flow, ForeignFlow) and flow.log_det_label != "exact":
        return f"{key}: the log-det is an estimate of unknown deviation; exact ones are allowed"
    device, dtype = place(flow)
    batch = next(data.batches(split, rows_at_once(flow, PROBED))).to(device)
    context = None if batch.context is None else batch.context.to(dtype)
    with measuring(flow):
        flow.key_noise(SEED, 0, batch.row)
        flow(batch.x.to(dtype), context)
        deviation = float(estimator_variance(flow, len(batch)).mean().sqrt())
    if deviation <= MOST_NOISE:
        return None
    return (
        f"{key}: the log-det is an estimate with a deviation of {deviation:.2g} nats a point; at "
        f"most {MOST_NOISE:g} is allowed, or its noise would count as gain"
    )


def importance_weighted(scores: Scores, flow: Flow, split: Split) -> Evaluation:
    r"""Return `nats_iw`, `bits_per_dim_iw` and their `_se`, with the label `iw_draws`.

    .. math:: \log \frac{1}{K} \sum_{k=1}^{K} p(x + u_k),

    for each point, a lower bound of :math:`\log \int p(x + u)\,du`, the log-probability of the
    integers, that rises with K (Burda et al. 2016, "Importance Weighted Autoencoders", theorem 1;
    Ho et al. 2019, "Flow++", equation 16; here the proposal is the uniform noise itself).

    Args:
        scores: of K draws.
        flow: the model.
        split: which part was scored.
    """
    draws = len(scores.log_prob)
    metric = BitsPerDim(flow.dim, sync_on_compute=False)
    metric.update(torch.logsumexp(scores.log_prob, 0) - log(draws))
    prefix, found = SPLIT_PREFIX[split], metric.compute()
    metrics = {
        f"{prefix}/{name}_iw{ending}": float(found[f"{name}{ending}"])
        for name in ("nats", "bits_per_dim")
        for ending in ("", "_se")
    }
    return Evaluation(metrics, {"iw_draws": str(draws)})
