"""What a row of the leaderboard quotes of the runs behind it."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from flowbench.compare.joining import FULL_PREFIX
from flowbench.compare.runs import BATCHES, LN2, METRICS, PROTOCOL, TIMINGS
from flowbench.compare.statistics import Estimate, crossed_mean, seed_mean

_TWICE = [
    "inversion/flow/xzx/max", "inversion/exact_share", "inversion/points",
    *(f"sampling/b{batch}/{timing}" for batch in BATCHES for timing in TIMINGS),
    "speed_error", "speed_device", "speed_alone", "speed_protocol",
]  # fmt: skip
QUOTED = [
    *PROTOCOL, "family", "run", "sweep", "stage", "outcome", "started", "model_seed", "parameters",
    "device", "budget", "label.log_det", "label.data", "label.inverse", "inversion_protocol",
    *(name for name in METRICS if name.startswith(("val/", "test/"))),
    *_TWICE, *(f"{FULL_PREFIX}{name}" for name in _TWICE),
]  # fmt: skip
"""Columns of the joined frame that the leaderboard reads; a record may have hundreds."""


def likelihood(
    quoted: pd.DataFrame, split: str, points: pd.DataFrame | None, gaussian: pd.DataFrame | None
) -> dict[str, float]:
    """Average the likelihood of some runs, with its error over seeds and points.

    Args:
        quoted: the runs.
        split: `val` or `test`.
        points: their log densities in nats, a row a point and a column a run; None where unknown:
            then the errors are made of those that each run states.
        gaussian: the Gaussian baseline's, of the same points: the error of the gain is paired with
            it; without it the gain's error is that of the bits/dim, a little too wide.
    """
    bits, bits_se = quoted[f"{split}/bits_per_dim"], quoted[f"{split}/bits_per_dim_se"]
    nats, gains = quoted[f"{split}/nats"], quoted[f"{split}/gain_over_gaussian"]
    # bits/dim = -nats / (D ln 2): the record holds both, so D need not be asked for.
    dimensions = float(np.round((-nats / (bits * LN2)).median()))
    to_bits = 1 / (dimensions * LN2)
    scores = seed_mean(nats, bits_se / to_bits) if points is None else crossed_mean(points)
    over = scores
    if points is not None and gaussian is not None:
        over = crossed_mean(points - gaussian)
    excess = f"{split}/excess_over_entropy"
    estimates = {
        "bits_per_dim": _about(bits.mean(), scores.times(to_bits)),
        "nats": _about(nats.mean(), scores),
        "gain": _about(gains.mean(), over.times(to_bits)),
        "excess": seed_mean(quoted[excess], quoted[f"{excess}_se"]),
    }
    found = {"dimensions": dimensions}
    for name, estimate in estimates.items():
        found |= {
            name: estimate.mean, f"{name}_se": estimate.se,
            f"{name}_low": estimate.low, f"{name}_high": estimate.high,
        }  # fmt: skip
    return found


def _about(mean: float, error: Estimate) -> Estimate:
    """Return the mean that the runs state, with an error from elsewhere."""
    known = math.isfinite(mean)
    return Estimate(float(mean), error.se if known else math.nan, error.df)


def all_in_full(cells: Sequence[pd.DataFrame], column: str, *, every_run: bool) -> bool:
    """Say whether every family can be quoted by the full protocol: else it is the quick one.

    Args:
        cells: the quoted runs of each family.
        column: what tells that there is a figure; families without any do not count.
        every_run: whether each of a family's runs needs one, or any.
    """

    def has(cell: pd.DataFrame, prefix: str) -> pd.Series:
        values = cell[f"{prefix}{column}"]
        return values.notna() & (values != "")

    measured = [has(cell, FULL_PREFIX) for cell in cells if has(cell, "").any()]
    return bool(measured) and all(
        in_full.all() if every_run else in_full.any() for in_full in measured
    )


def speed(quoted: pd.DataFrame, prefix: str) -> dict[str, float | str]:
    """Quote the sampling speed: of the runs timed in a stage of their own where there are any.

    Args:
        quoted: the runs.
        prefix: `full/` for the full protocol's, else empty.
    """
    alone = quoted[quoted[f"{prefix}speed_alone"] == "yes"]
    source = alone if not alone.empty else quoted
    found: dict[str, float | str] = {}
    for batch in BATCHES:
        rate = source[f"{prefix}sampling/b{batch}/samples_per_second"]
        found[f"speed_b{batch}"] = float(rate.median())
    found["latency_ms"] = float(source[f"{prefix}sampling/b1/latency_ms"].median())
    for name in ("speed_error", "speed_device", "speed_alone", "speed_protocol"):
        found[name] = words(source[f"{prefix}{name}"])
    return found


def inversion(quoted: pd.DataFrame, prefix: str) -> dict[str, float | str]:
    """Quote the worst inversion error of the runs.

    Args:
        quoted: the runs.
        prefix: `full/` for the full protocol's, else empty.
    """
    worst = quoted[f"{prefix}inversion/flow/xzx/max"]
    return {
        "inversion": float(worst.max()),
        "exact_share": float(quoted[f"{prefix}inversion/exact_share"].min()),
        "inversion_points": float(quoted[f"{prefix}inversion/points"].min()),
        "inversion_protocol": words(
            quoted["inversion_protocol"] if not prefix else pd.Series(["full"])
        ),
    }


def labels(quoted: pd.DataFrame) -> dict[str, str]:
    """Return what the numbers mean."""
    return {
        "log_det": words(quoted["label.log_det"]),
        "data_label": words(quoted["label.data"]),
        "inverse": words(quoted["label.inverse"]),
    }


def words(values: pd.Series) -> str:
    """Return the different words of a column, the empty ones left out."""
    return ", ".join(sorted({str(value) for value in values.dropna() if str(value)}))
