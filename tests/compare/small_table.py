"""Runs on one small table of data, and the leaderboard made of them."""

import numpy as np
import pandas as pd
from synthetic_record import LN2, Record, RecordedRun, measured

from flowbench.compare.leaderboard import leaderboard_table
from flowbench.compare.runs import load

DIMENSIONS = 4
LABELS = {"log_det": "exact", "data": "density", "preprocess": "[]"}


def run(name, family, bits, **changes):
    """A minimal single run on 4-dimensional data."""
    metrics = {
        "val/bits_per_dim": bits, "val/bits_per_dim_se": 0.01, "val/nats": -bits * 4 * LN2,
        "val/gain_over_gaussian": 3 - bits,
    }  # fmt: skip
    values = {
        "stage": "single", "sweep": "", "metrics": metrics, "labels": LABELS, "data": "table",
        **changes,
    }  # fmt: skip
    return RecordedRun(name, family, **values)


def confirmed(family, nats, gaussian=None, **changes):
    """Confirming runs: their log densities are the columns of `nats`, `(points, seeds)`."""
    for seed, scores in enumerate(np.asarray(nats).T):
        points = pd.DataFrame({"row": np.arange(len(scores)) * 3, "log_prob": scores, "se": 0.0})
        baseline = 3.0
        if gaussian is not None:
            points["gaussian"] = gaussian
            baseline = -float(np.mean(gaussian)) / (DIMENSIONS * LN2)
        values = {
            "stage": "confirm", "sweep": "s", "model_seed": 1 + seed, "labels": LABELS,
            "metrics": measured(scores, DIMENSIONS, "test", baseline), "points": points, **changes,
        }  # fmt: skip
        yield RecordedRun(f"s.{family}.{seed}", family, "table", **values)


def table_of(directory, *runs):
    """Return the frame and the leaderboard of runs, recorded in a new record."""
    directory.mkdir(exist_ok=True)
    record = Record(directory)
    for one in runs:
        record.add(one)
    frame = load(record.uri)
    return frame, leaderboard_table(frame)
