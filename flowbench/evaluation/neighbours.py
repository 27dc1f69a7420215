"""Precision and recall of samples by nearest neighbours among features."""

from __future__ import annotations

import torch
from torch import Tensor

K = 3
"""The neighbour whose distance is a point's radius; Kynkäänniemi et al. use the third."""

ROWS = 1024
"""Rows of a matrix of distances that are held at once."""


def precision_recall(real: Tensor, samples: Tensor, k: int = K) -> tuple[float, float]:
    """Return which share of the samples looks real, and which share of what is real they reach.

    A set's manifold is the union of a ball around each of its points, out to the point's k-th
    nearest neighbour in the set. Precision is the share of samples inside the real manifold,
    recall the share of real points inside that of the samples (Kynkäänniemi et al. 2019,
    "Improved precision and recall metric for assessing generative models", equations 1 and 2).
    Both depend on the numbers of points, and are compared at equal ones alone.

    Args:
        real: features of real points, ``(N, F)``.
        samples: features of samples, ``(M, F)``; a row that is not finite lies in no manifold and
            makes none.
        k: the neighbour that sets the radius, fewer than there are points.
    """
    finite = samples.isfinite().all(1)
    kept = samples[finite]
    precision = float(_inside(kept, real, k).sum()) / len(samples)
    recall = float(_inside(real, kept, k).double().mean()) if len(kept) > k else 0.0
    return precision, recall


def _inside(points: Tensor, centres: Tensor, k: int) -> Tensor:
    """Return which points lie in the manifold of the centres, ``(N,)``."""
    radii = torch.cat(
        [_distances(rows, centres).kthvalue(k + 1).values for rows in centres.split(ROWS)]
    )
    inside = [(_distances(rows, centres) <= radii).any(1) for rows in points.split(ROWS)]
    return torch.cat(inside)


def _distances(rows: Tensor, others: Tensor) -> Tensor:
    """Return Euclidean distances, each from differences: a matrix product would lose digits.

    So a point is at a distance of exactly 0 from itself, the first of its neighbours.
    """
    return torch.cdist(rows.double(), others.double(), compute_mode="donot_use_mm_for_euclid_dist")
