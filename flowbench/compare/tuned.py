"""What tuning was worth: each family's best trial against its default configuration."""

import math

import pandas as pd

from flowbench.compare.runs import LN2, PROTOCOL, Frame
from flowbench.compare.statistics import Estimate, paired_difference

CELL = [*PROTOCOL, "sweep", "family"]
MEASURES = ["val/bits_per_dim", "val/nats"]
COLUMNS = [
    *CELL, "trials", "default_is", "default", "tuned", "gained", "gained_se", "low", "high",
    "default_run", "tuned_run",
]  # fmt: skip


def tuned_table(frame: Frame) -> pd.DataFrame:
    """Compare each family's best trial with the trial of its default configuration.

    Both are single runs of the same model seed, measured on the validation data that the best was
    chosen by: the gain flatters, the more so the more trials there were, and its error is that of
    the points alone.

    Args:
        frame: all runs; the tuning trials of each sweep are used.

    Returns:
        A row a (data set, sweep, family) whose default configuration was tried and completed;
        columns `data`, `data_hash`, `preprocess`, `sweep`, `family` and

        * `trials`: completed ones, the default's included;
        * `default_is`: `yes`, or `nearest` where the search holds only one near the default;
        * `default`, `tuned`: validation bits/dim of the default and of the best;
        * `gained`, `gained_se`, `low`, `high`: bits/dim by which the best is below the default,
          paired point by point, with its standard error and 95 % interval; 0 and NaN where the
          default is the best;
        * `default_run`, `tuned_run`.
    """
    # Few columns: a record may have hundreds, which take seconds to sort.
    runs = frame.runs[[*CELL, "run", "stage", "outcome", "default", "trial", *MEASURES]]
    done = runs[
        (runs["stage"] == "tune")
        & (runs["outcome"] == "completed")
        & runs["val/bits_per_dim"].notna()
    ]
    found = []
    for _, trials in done.groupby(CELL, sort=True):
        defaults = trials[trials["default"] != ""]
        if defaults.empty:
            continue
        default = defaults.iloc[0]
        best = trials.sort_values(["val/bits_per_dim", "trial"]).iloc[0]
        gained = _gained(frame, default, best)
        cell = {key: default[key] for key in CELL}
        found.append({
            **cell, "trials": len(trials), "default_is": default["default"],
            "default": default["val/bits_per_dim"], "tuned": best["val/bits_per_dim"],
            "gained": gained.mean, "gained_se": gained.se, "low": gained.low, "high": gained.high,
            "default_run": default["run"], "tuned_run": best["run"],
        })  # fmt: skip
    return pd.DataFrame(found, columns=COLUMNS)


def _gained(frame: Frame, default: pd.Series, best: pd.Series) -> Estimate:
    if default["run"] == best["run"]:
        return Estimate(0.0, math.nan)
    ours, theirs = frame.points([best["run"]]), frame.points([default["run"]])
    if ours is None or theirs is None:
        return Estimate(default["val/bits_per_dim"] - best["val/bits_per_dim"], math.nan)
    dimensions = round(-best["val/nats"] / (best["val/bits_per_dim"] * LN2))
    return paired_difference(ours, theirs).times(1 / (dimensions * LN2))
