"""What was measured of the runs that the leaderboard quotes, by the fullest protocol there is."""

from collections.abc import Iterable, Sequence

import pandas as pd

FULL = "full"


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
        The measurements, a row a run, and `full` or `quick`.
    """
    wanted = [name for name in metrics if name in runs]
    about = runs.assign(of=runs["measures"].where(runs["measures"] != "", runs["run"]))
    mine = about["of"].isin(list(quoted)) & (about["outcome"] == "completed")
    about = about[mine & about[wanted].notna().any(axis=1)]
    protocol = about.get("label.protocol", pd.Series("", about.index))
    full = about[protocol == FULL]
    chosen = full if len(full) else about
    newest = chosen.sort_values("started", kind="stable").drop_duplicates("of", keep="last")
    return newest, FULL if len(full) else "quick"
