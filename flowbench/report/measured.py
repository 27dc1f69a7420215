"""What was measured of the runs that the leaderboard quotes, by the fullest protocol there is."""

from collections.abc import Sequence

import pandas as pd

FULL = "full"


def measurements(runs: pd.DataFrame, quoted: Sequence[str]) -> pd.DataFrame:
    """Return the measurements of some runs that stand beside each other: all of one protocol.

    A run has the measures that ended its own training, and those of later runs that measure it
    (stage `evaluate` and `speed`). Of the full protocol there is the newest of each run; without
    any, the runs' own quick measures are returned. Quick and full are never mixed.

    Args:
        runs: all runs.
        quoted: their names.
    """
    about = runs.assign(of=runs["measures"].where(runs["measures"] != "", runs["run"]))
    about = about[about["of"].isin(list(quoted)) & (about["outcome"] == "completed")]
    full = about[about.get("label.protocol", pd.Series("", about.index)) == FULL]
    if len(full):
        return full.sort_values("started").drop_duplicates("of", keep="last")
    return about[about["measures"] == ""]


def protocol_of(measured: pd.DataFrame) -> str:
    """Return the protocol of some measurements, `quick` where none is stated."""
    stated = set(measured.get("label.protocol", pd.Series(dtype=str)).dropna()) - {""}
    return ", ".join(sorted(stated)) or "quick"
