"""Whether held-out data, encoded, are distributed as the base says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flowbench.data.module import FlowData
from flowbench.evaluation.measuring import SEED, measuring, place, rows_at_once
from flowbench.families.bases import Base, LogisticBase, NormalBase
from flowbench.families.flow import Flow
from flowbench.families.foreign import ForeignFlow
from flowbench.spec.vocabulary import Split

BATCH = 1024
"""Points encoded at once, at the most."""

SIMULATED = 100_000
"""Radii drawn where their distribution has no closed form."""

Array = NDArray[np.float64]


def latent_calibration(flow: Flow, data: FlowData, split: Split) -> dict[str, float]:
    """Compare the latents of held-out points with the base, by the names of the record.

    Kolmogorov-Smirnov statistics D, each the largest gap between two distribution functions:

    * `latent/ks_max`, `latent/ks_median`: over the dimensions of the latent, each against the
      base's own; `latent/ks_p_min` is the least of their p-values after Holm's correction, which
      holds however the dimensions depend on each other;
    * `latent/radius_ks`, `latent/radius_p`: the Euclidean norm of the whole latent. Marginals can
      be right where the radius is not: the dimensions then depend on each other;
    * `latent/points`, and the share that is `latent/nonfinite`: those lie beyond every number.

    Empty for a flow that cannot encode, and for a user's own: its base is not known.

    Args:
        flow: the model.
        data: the data set it was trained on.
        split: which part.
    """
    if isinstance(flow, ForeignFlow):
        return {}
    from scipy.stats import ks_1samp

    z = _latents(flow, data, split)
    broken = ~np.isfinite(z)
    z[broken] = np.inf
    marginals = ks_1samp(z, _marginal(flow.base).cdf, axis=0)
    gaps, p_values = np.asarray(marginals.statistic), np.asarray(marginals.pvalue)
    radius = _radius_test(flow.base, np.linalg.norm(z, axis=1))
    found = {
        "ks_max": gaps.max(),
        "ks_median": np.median(gaps),
        # The least p-value is the first that Holm's procedure looks at: times their number.
        "ks_p_min": min(1.0, z.shape[1] * p_values.min()),
        "radius_ks": radius.statistic,
        "radius_p": radius.pvalue,
        "points": len(z),
        "nonfinite": broken.any(1).mean(),
    }
    return {f"latent/{name}": float(value) for name, value in found.items()}


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
    """Return the distribution of each coordinate of the latent."""
    from scipy.stats import logistic, norm

    marginals = {NormalBase: norm, LogisticBase: logistic}
    return marginals[type(base)]


def _radius_test(base: Base, radii: Array) -> Any:
    """Compare radii with those of the base: chi for the normal, else by simulation."""
    from scipy.stats import chi, ks_1samp, ks_2samp

    if isinstance(base, NormalBase):
        return ks_1samp(radii, chi(base.dim).cdf)
    draw: Callable[..., Array] = _marginal(base).rvs
    generator = np.random.default_rng(SEED)
    simulated = [
        np.linalg.norm(draw(size=(BATCH, base.dim), random_state=generator), axis=1)
        for _ in range(-(-SIMULATED // BATCH))
    ]
    return ks_2samp(radii, np.concatenate(simulated))
