"""Whether held-out data, encoded, are distributed as the base says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flowbench.data.batch import rows_at_once
from flowbench.data.module import FlowData
from flowbench.evaluation.measuring import SEED, measuring, place
from flowbench.families.bases import Base, LogisticBase, NormalBase
from flowbench.families.flow import Flow
from flowbench.families.foreign import ForeignFlow
from flowbench.spec.vocabulary import Split

BATCH = 1024
"""Points encoded at once, at the most."""

SIMULATED = 50_000
"""Radii drawn where their distribution has no closed form."""

Array = NDArray[np.float64]
CDF = Callable[[Array], Array]


def latent_calibration(flow: Flow, data: FlowData, split: Split) -> dict[str, float]:
    """Compare the latents of held-out points with the base, by the names of the record.

    Kolmogorov-Smirnov statistics, each the largest gap between two distribution functions:

    * `latent/ks_max`, `latent/ks_median`: over the dimensions of the latent, each against the
      base's own; `latent/ks_p_min` is the least of their p-values after Holm's correction, which
      holds however the dimensions depend on each other;
    * `latent/radius_ks`, `latent/radius_p`: the Euclidean norm of the whole latent. Marginals can
      be right where the radius is not: the dimensions then depend on each other;
    * `latent/points`, and the share that is `latent/nonfinite`: those lie beyond every number.

    Empty for a user's own flow, and for a base that is neither normal nor logistic: what its
    latents should be is not known.

    Args:
        flow: the model.
        data: the data set it was trained on.
        split: which part.
    """
    marginal = _marginal(flow.base)
    if isinstance(flow, ForeignFlow) or marginal is None:
        return {}
    from scipy.stats import kstwo

    z = _latents(flow, data, split)
    broken = ~np.isfinite(z)
    z[broken] = np.inf
    gaps = np.array([largest_gap(column, marginal.cdf) for column in z.T])
    radius, radius_p = _radius_test(flow.base, np.linalg.norm(z, axis=1))
    found = {
        "ks_max": gaps.max(),
        "ks_median": np.median(gaps),
        # The least p-value, that of the largest gap, comes first in Holm's procedure: times D.
        "ks_p_min": min(1.0, len(gaps) * kstwo.sf(gaps.max(), len(z))),
        "radius_ks": radius,
        "radius_p": radius_p,
        "points": len(z),
        "nonfinite": broken.any(1).mean(),
    }
    return {f"latent/{name}": float(value) for name, value in found.items()}


def largest_gap(values: Array, cdf: CDF) -> float:
    """Return the Kolmogorov-Smirnov statistic of values, ``(N,)``, against a distribution."""
    below = cdf(np.sort(values))
    steps = np.arange(len(values) + 1) / len(values)
    return float(np.maximum(steps[1:] - below, below - steps[:-1]).max())


def _latents(flow: Flow, data: FlowData, split: Split) -> Array:
    device, dtype = place(flow)
    found = []
    with measuring(flow):
        for batch in data.batches(split, rows_at_once(flow, BATCH)):
            here = batch.to(device)
            context = None if here.context is None else here.context.to(dtype)
            found.append(flow.encode(here.x.to(dtype), context)[0].double().cpu())
    return torch.cat(found).numpy()


def _marginal(base: Base) -> Any:
    """Return the distribution of each coordinate of the latent, where it is known."""
    from scipy.stats import logistic, norm

    return {NormalBase: norm, LogisticBase: logistic}.get(type(base))


def _radius_test(base: Base, radii: Array) -> tuple[float, float]:
    """Compare radii with those of the base: chi for the normal, else by simulation.

    Returns:
        The statistic and its p-value.
    """
    from scipy.stats import chi, ks_2samp, kstwo

    if isinstance(base, NormalBase):
        gap = largest_gap(radii, chi(base.dim).cdf)
        return gap, float(kstwo.sf(gap, len(radii)))
    generator = np.random.default_rng(SEED)
    draw = _marginal(base).rvs
    simulated = [
        np.linalg.norm(draw(size=(BATCH, base.dim), random_state=generator), axis=1)
        for _ in range(-(-SIMULATED // BATCH))
    ]
    test = ks_2samp(radii, np.concatenate(simulated))
    return float(test.statistic), float(test.pvalue)
