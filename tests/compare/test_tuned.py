"""What tuning gained over the default, paired on validation points."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from small_table import DIMENSIONS, LABELS, LN2, table_of
from synthetic_record import RecordedRun, measured

from flowbench.compare.tuned import tuned_table
from flowbench.tracking import schema

BITS = DIMENSIONS * LN2


def trial(family, number, nats, default="", **changes):
    points = pd.DataFrame({"row": np.arange(len(nats)), "log_prob": nats, "se": 0.0})
    values = {
        "labels": LABELS, "metrics": measured(nats, DIMENSIONS, "val", 3.0), "points": points,
        "tags": {schema.TRIAL: str(number), schema.DEFAULT: default}, **changes,
    }  # fmt: skip
    return RecordedRun(f"demo.{family}.{number}", family, "table", **values)


def test_the_best_trial_is_compared_with_the_default_point_by_point(tmp_path):
    rng = np.random.default_rng(0)
    hard = rng.normal(-6, 2, 50)
    default = hard + rng.normal(0, 0.1, 50)
    best, other = hard + 0.3 + rng.normal(0, 0.1, 50), hard - 0.5
    frame, _ = table_of(
        tmp_path,
        trial("glow", 0, default, "nearest"), trial("glow", 1, other), trial("glow", 2, best),
        trial("glow", 3, best + 9, outcome="diverged"),
        trial("nice", 0, best, "yes"), trial("nice", 1, other),
        trial("planar", 0, best),
        trial("sylvester", 0, best, "yes", outcome="diverged"), trial("sylvester", 1, best),
    )  # fmt: skip
    table = tuned_table(frame).set_index("family")
    assert set(table.index) == {"glow", "nice"}  # the others have no completed default
    row = table.loc["glow"]
    assert (row["default_run"], row["tuned_run"]) == ("demo.glow.0", "demo.glow.2")
    assert (row["default_is"], row["trials"]) == ("nearest", 3)
    assert row["default"] == pytest.approx(-default.mean() / BITS)
    assert row["gained"] == pytest.approx(row["default"] - row["tuned"])
    paired = stats.ttest_rel(best, default)
    assert row["gained"] / row["gained_se"] == pytest.approx(paired.statistic)
    interval = paired.confidence_interval()
    assert (row["low"] * BITS, row["high"] * BITS) == pytest.approx(tuple(interval))
    assert table.loc["nice", "gained"] == 0
    assert math.isnan(table.loc["nice", "gained_se"])


def test_a_default_without_points_has_a_gain_without_an_error(tmp_path):
    nats = np.random.default_rng(1).normal(-6, 1, 20)
    frame, _ = table_of(
        tmp_path, trial("glow", 0, nats, "yes", points=None), trial("glow", 1, nats + 1)
    )
    row = tuned_table(frame).iloc[0]
    assert row["gained"] == pytest.approx(1 / BITS)
    assert math.isnan(row["gained_se"])
