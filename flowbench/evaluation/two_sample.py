"""Whether a classifier can tell samples from real points: the two-sample test on vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowbench.evaluation.measuring import SEED

Array = NDArray[Any]


@dataclass(frozen=True)
class TwoSampleTest:
    """How well samples are told from real points, on points held out from the classifier.

    Attributes:
        accuracy: share of held-out points put on the right side; 1/2 where nothing tells them
            apart.
        se: its standard error.
        p: probability of such an accuracy, or a higher one, from equal distributions.
    """

    accuracy: float
    se: float
    p: float


def two_sample_test(real: Array, samples: Array, seed: int = SEED) -> TwoSampleTest:
    """Train a classifier on half of the rows and count its hits on the other half.

    The classifier two-sample test (Lopez-Paz & Oquab 2017, "Revisiting classifier two-sample
    tests", section 3) by gradient-boosted trees. Row i of both sets is on the same side of the
    split, so that both may be drawn at the same context, given as further columns. The number of
    hits is then a sum of independent trials of mean 1/2, and the binomial test is exact, or
    conservative (Hoeffding 1956).

    Args:
        real: ``(N, D)``.
        samples: ``(N, D)``; what is not finite counts as a missing value, which tells a sample.
        seed: decides the split and the classifier.
    """
    from scipy.stats import binomtest
    from sklearn.ensemble import HistGradientBoostingClassifier

    samples = np.where(np.isfinite(samples), samples, np.nan)
    order = np.random.default_rng(seed).permutation(len(real))
    seen, held_out = np.array_split(order, 2)
    classifier = HistGradientBoostingClassifier(early_stopping=True, random_state=seed)
    classifier.fit(*_labelled(real[seen], samples[seen]))
    x, label = _labelled(real[held_out], samples[held_out])
    hits = int((classifier.predict(x) == label).sum())
    accuracy = hits / len(label)
    return TwoSampleTest(
        accuracy,
        float(np.sqrt(accuracy * (1 - accuracy) / len(label))),
        float(binomtest(hits, len(label), 0.5, alternative="greater").pvalue),
    )


def _labelled(real: Array, samples: Array) -> tuple[Array, Array]:
    """Return the rows of both sets, ``(2 N, D)``, and which of them are samples."""
    return np.concatenate([real, samples]), np.repeat([0, 1], [len(real), len(samples)])
