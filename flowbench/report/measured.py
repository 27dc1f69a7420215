"""What was measured of the runs that the leaderboard quotes, by the fullest protocol there is."""

from collections.abc import Iterable, Sequence

import pandas as pd

FULL = "full"
ABOUT = ["run", "measures", "outcome", "started", "device", "label.protocol"]


def measurements(
    runs: pd.DataFrame, quoted: Sequence[str], metrics: Iterable[str]
) -> tuple[pd.DataFrame, str]:
    """Return the measurements of some runs that have any of these metrics, and their protocol.

    A run has the measures that ended its own training, and those of later runs that measure it
    (stages `evaluate` and `speed`). Where some are of the full protocol, only those are returned;
    else the quick ones: the two are never mixed. Of each run there is the newest.

    Args:
        runs: all runs.
        quoted: their names.
        metrics: names of the record; those that no run has are passed over.

    Returns:
        The measurements, a row a run with its name, its device and these metrics, and their
        protocol: `full` or `quick`.
    """
    wanted = [name for name in dict.fromkeys(metrics) if name in runs]
    about = runs[[*ABOUT, *wanted]]
    of = about["measures"].where(about["measures"] != "", about["run"])
    about = about[of.isin(list(quoted)) & (about["outcome"] == "completed")]
    about = about[about[wanted].notna().any(axis=1)]
    full = about[about["label.protocol"] == FULL]
    chosen = (full if len(full) else about).sort_values("started", kind="stable")
    # The last of each run is the newest.
    return chosen[~of[chosen.index].duplicated(keep="last")], FULL if len(full) else "quick"
