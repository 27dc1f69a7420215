"""The leaderboard: one row a data set and family, from the runs that deserve to be quoted."""

import math
from collections.abc import Hashable

import numpy as np
import pandas as pd

from flowbench.compare.runs import LN2, PROTOCOL, Frame
from flowbench.compare.statistics import Estimate, paired_difference, seed_mean

TUNED_ON = "validation (tuned on)"
SPEEDS = {"speed_b1": 1, "speed_b64": 64, "speed_b1024": 1024}


def leaderboard_table(frame: Frame) -> pd.DataFrame:
    """Rank the families of each data set.

    A family is quoted from its confirm runs, on the test split, where it has any; else from its
    best tune or single run, on the validation split it was chosen by, and the row says
    `tuned on`. Families are ranked by bits/dim where the data are discrete and by the gain over
    the Gaussian baseline where they are continuous, and only among rows of the same data,
    preprocessing and split: where some rows are on test data, the others have no rank.

    Args:
        frame: all runs, from `flowbench.compare.frame.load`.

    Returns:
        A row a (data set, preprocessing, family), best first; the columns of
        `flowbench.compare.columns`, and `run_ids`, the runs that are quoted.
    """
    rows = []
    done = frame.runs[frame.runs["outcome"] == "completed"]
    likelihood = done[(done["stage"] != "speed") & (done["measures"] == "")]
    for keys, cell in likelihood.groupby([*PROTOCOL, "family"], sort=False):
        quoted, split = _quoted(cell)
        if quoted.empty:
            continue
        everything = frame.runs[_same(frame.runs, [*PROTOCOL, "family"], keys)]
        rows.append({
            **dict(zip([*PROTOCOL, "family"], keys, strict=True)),
            "split": split,
            **_likelihood(quoted, "test" if split == "test" else "val"),
            **_speed(quoted, everything),
            **_inversion(quoted),
            **_labels(quoted),
            "parameters": _first(quoted["parameters"]),
            "device": ", ".join(sorted(set(quoted["device"].dropna()))),
            "seeds": quoted["model_seed"].nunique(),
            "trials": int((everything["stage"] == "tune").sum()),
            "budget": _words(everything["budget"]),
            "run_ids": tuple(quoted["run"]),
        })  # fmt: skip
    if not rows:
        return pd.DataFrame(columns=[*PROTOCOL, "family", "run_ids"])
    table = pd.DataFrame(rows)
    ranked = [_rank(group, frame) for _, group in table.groupby(PROTOCOL, sort=True)]
    return pd.concat(ranked, ignore_index=True)


def _quoted(cell: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Choose the runs of one family on one data set that stand for it, and name their split."""
    confirmed = cell[(cell["stage"] == "confirm") & cell["test/bits_per_dim"].notna()]
    if not confirmed.empty:
        return _one_sweep(confirmed), "test"
    chosen = cell[cell["val/bits_per_dim"].notna()].nsmallest(1, "val/bits_per_dim")
    return chosen, TUNED_ON


def _one_sweep(confirmed: pd.DataFrame) -> pd.DataFrame:
    """Keep the sweep that confirmed the best configuration, judged by validation data alone."""
    if confirmed["sweep"].nunique() == 1:
        return confirmed
    merit = confirmed.groupby("sweep")["val/bits_per_dim"].mean()
    newest = confirmed.sort_values("started")["sweep"].iloc[-1]
    kept = merit.idxmin() if merit.notna().any() else newest
    return confirmed[confirmed["sweep"] == kept]


def _same(runs: pd.DataFrame, columns: list[str], keys: tuple[Hashable, ...]) -> pd.Series:
    """Find the runs of one cell; one that failed early may not know its data's hash or steps."""
    same = runs[columns] == pd.Series(keys, index=columns)
    return (same | (runs[columns] == "")).all(axis=1)


def _likelihood(quoted: pd.DataFrame, prefix: str) -> dict[str, float]:
    bits, bits_se = quoted[f"{prefix}/bits_per_dim"], quoted[f"{prefix}/bits_per_dim_se"]
    nats, excess = quoted[f"{prefix}/nats"], f"{prefix}/excess_over_entropy"
    # bits/dim = -nats / (D ln 2): the record holds both, so D need not be asked for.
    dimensions = float(np.round((-nats / (bits * LN2)).median()))
    estimates = {
        "bits_per_dim": seed_mean(bits, bits_se),
        "nats": seed_mean(nats, bits_se * dimensions * LN2),
        "gain": seed_mean(quoted[f"{prefix}/gain_over_gaussian"], bits_se),
        "excess": seed_mean(quoted[excess], quoted[f"{excess}_se"]),
    }
    return {
        "dimensions": dimensions,
        **{name: estimate.mean for name, estimate in estimates.items()},
        **{f"{name}_se": estimate.se for name, estimate in estimates.items()},
    }


def _speed(quoted: pd.DataFrame, everything: pd.DataFrame) -> dict[str, float | str]:
    """Take speed from its own stage where it was measured alone, else from the quoted runs."""
    alone = everything[everything["stage"] == "speed"]
    mine = alone[alone["measures"].isin(quoted["run"])]
    source = mine if not mine.empty else quoted
    found: dict[str, float | str] = {}
    for name, batch in SPEEDS.items():
        found[name] = float(source[f"sampling/b{batch}/samples_per_second"].median())
    found["latency_ms"] = float(source["sampling/b1/latency_ms"].median())
    found["speed_error"] = _words(source["speed_error"])
    found["speed_device"] = _words(source["device"])
    found["speed_alone"] = "yes" if not mine.empty else "no"
    return found


def _inversion(quoted: pd.DataFrame) -> dict[str, float]:
    return {
        "inversion": float(quoted["inversion/flow/xzx/max"].max()),
        "exact_share": float(quoted["inversion/exact_share"].min()),
    }


def _labels(quoted: pd.DataFrame) -> dict[str, str]:
    return {
        "log_det": _words(quoted["label.log_det"]),
        "data_label": _words(quoted["label.data"]),
        "inverse": _words(quoted["label.inverse"]),
    }


def _words(values: pd.Series) -> str:
    return ", ".join(sorted({str(value) for value in values.dropna() if str(value)}))


def _first(values: pd.Series) -> float:
    known = values.dropna()
    return float(known.iloc[0]) if len(known) else math.nan


def _rank(group: pd.DataFrame, frame: Frame) -> pd.DataFrame:
    """Order one data set's families, and compare each with the best."""
    tested = group["split"] == "test"
    eligible = tested if tested.any() else pd.Series(True, index=group.index)
    continuous = (group["data_label"] == "density").all() and group["gain"].notna().all()
    # The gain is the bits/dim turned round and moved by the baseline: high is good.
    merit = group["gain"] if continuous else -group["bits_per_dim"]
    group = group.assign(
        merit=merit,
        rank=merit.where(eligible).rank(ascending=False, method="min"),
        ranked_by="gain" if continuous else "bits_per_dim",
    )
    group = group.sort_values(["rank", "merit"], ascending=[True, False], na_position="last")
    best = group.iloc[0]
    points = {row["family"]: frame.points(row["run_ids"]) for row in group.to_dict("records")}
    against = [_behind(row, best, points) for _, row in group.iterrows()]
    return group.assign(
        best=group["rank"] == 1,
        behind_best=[estimate.mean for estimate in against],
        behind_best_se=[estimate.se for estimate in against],
    )


def _behind(row: pd.Series, best: pd.Series, points: dict[str, pd.DataFrame | None]) -> Estimate:
    """Return by how many bits/dim a family is behind the best; NaN where that means nothing."""
    unknown = Estimate(math.nan, math.nan)
    if row["family"] == best["family"] or pd.isna(row["rank"]):
        return unknown
    ours, theirs = points[row["family"]], points[best["family"]]
    if ours is None or theirs is None:
        return Estimate(row["bits_per_dim"] - best["bits_per_dim"], math.nan)
    nats = paired_difference(theirs, ours)
    to_bits = 1 / (row["dimensions"] * LN2)
    return Estimate(nats.mean * to_bits, nats.se * to_bits)
