"""One row a run: its own figures, and those of later measurements of it."""

import pandas as pd

from flowbench.spec.metrics import by_name

FULL = "full"
FULL_PREFIX = "full/"
"""Before a metric's name: its value by the full protocol, where the quick one has it too."""

TIMED = ("sampling/", "density/", "training/", "memory/", "flops/")
"""Measures that a stage of its own takes on an idle machine."""
TWICE = ("inversion/", "sampling/")
"""Measures of both protocols that a quick and a full measurement are told apart by."""
NOT_MEASURED = ("baseline/", "train/", "param.", "label.", "version.")


def joined(runs: pd.DataFrame) -> pd.DataFrame:
    """Join the later measurements of runs (stages `evaluate` and `speed`) to the runs they measure.

    A run's own figures stand; a later measurement adds what the run lacks, the newest first. What
    takes an idle machine (`TIMED`) is the other way round: the newest measurement in a stage of its
    own replaces what was timed within the run. Figures of the two protocols stay apart: a plain
    name has the quick protocol's value, or the full one's where there is no quick one; `full/` and
    the name the full one's, of the measures that both take (`TWICE`).

    Args:
        runs: all rows of the record, from `tracking.reader.read_runs`.

    Returns:
        The rows that measure no other run, in their order, with every column of `runs`, the
        `full/...` columns, and for both protocols `speed_device` and `speed_alone` (`yes` where
        timed in a stage of its own, `no` where within the run; empty where nothing was timed),
        `speed_protocol` and `inversion_protocol` (`quick` or `full`; empty without a figure).
    """
    metrics = [name for name in runs.columns if _measured(str(name))]
    timed = [name for name in metrics if name.startswith(TIMED)]
    twice = [name for name in metrics if _twice(name)]
    own = runs[runs["measures"] == ""]
    # A run that was recorded twice counts once: as it was written last.
    own = own[~own["run"].duplicated(keep="last")].reset_index(drop=True)
    later = runs[(runs["measures"] != "") & (runs["outcome"] == "completed")]
    # Of rows that began in the same millisecond the one that was written last is the newer.
    later = later.iloc[::-1].sort_values("started", ascending=False, kind="stable")
    quick = _overlaid(own, later, metrics, timed, full=False)
    full = _overlaid(own, later, metrics, timed, full=True)
    values = quick[metrics].where(quick[metrics].notna(), full[metrics])
    kept = own.drop(columns=metrics)
    labels = [name for name in runs.columns if str(name).startswith("label.")]
    kept[labels] = _filled(kept[labels], later, own["run"])
    return pd.concat(
        [
            kept, values, full[twice].add_prefix(FULL_PREFIX),
            _timing(quick, full), _timing(full, full).add_prefix(FULL_PREFIX),
            _protocol_of("inversion", quick, full, twice),
        ],
        axis=1,
    )  # fmt: skip


def _measured(name: str) -> bool:
    return "/" in name and not name.startswith(NOT_MEASURED)


def _twice(name: str) -> bool:
    known = by_name().get(name)
    return name.startswith(TWICE) and (known is None or known.protocol == "quick")


def _overlaid(
    own: pd.DataFrame, later: pd.DataFrame, metrics: list[str], timed: list[str], *, full: bool
) -> pd.DataFrame:
    """Return each run's metrics by one protocol, with the device and the way of its timings."""
    mine = (own["label.protocol"] == FULL) == full
    found = own[metrics].where(mine)
    by_protocol = later[(later["label.protocol"] == FULL) == full]
    newest = by_protocol.groupby("measures")[metrics].first().reindex(own["run"])
    newest = newest.set_axis(own.index)
    sampling = [name for name in timed if name.startswith("sampling/")]
    speeds = by_protocol[by_protocol[sampling].notna().any(axis=1)]
    device = speeds.drop_duplicates("measures").set_index("measures")["device"]
    device = device.reindex(own["run"]).set_axis(own.index)
    within = found[sampling].notna().any(axis=1)
    rest = [name for name in metrics if name not in set(timed)]
    return pd.concat(
        [
            found[rest].where(found[rest].notna(), newest[rest]),
            newest[timed].where(newest[timed].notna(), found[timed]),
            device.fillna(own["device"].where(within)).fillna("").rename("speed_device"),
            device.notna().map({True: "yes", False: "no"}).where(
                device.notna() | within, ""
            ).rename("speed_alone"),
        ],
        axis=1,
    )  # fmt: skip


def _timing(quick: pd.DataFrame, full: pd.DataFrame) -> pd.DataFrame:
    """Return how the speeds were timed: quick where they were, else in full."""
    known = quick["speed_alone"] != ""
    chosen = quick[["speed_device", "speed_alone"]].where(
        known, full[["speed_device", "speed_alone"]]
    )
    protocol = pd.Series("quick", quick.index).where(known & (quick is not full), FULL)
    return chosen.assign(speed_protocol=protocol.where(chosen["speed_alone"] != "", ""))


def _protocol_of(
    subject: str, quick: pd.DataFrame, full: pd.DataFrame, twice: list[str]
) -> pd.Series:
    names = [name for name in twice if name.startswith(f"{subject}/")]
    by_quick, by_full = (each[names].notna().any(axis=1) for each in (quick, full))
    words = pd.Series("quick", quick.index).where(by_quick, FULL)
    return words.where(by_quick | by_full, "").rename(f"{subject}_protocol")


def _filled(labels: pd.DataFrame, later: pd.DataFrame, names: pd.Series) -> pd.DataFrame:
    """Fill in the labels that a run has not, from its newest measurement that has them."""
    known = later[[*labels.columns]].replace("", None)
    newest = known.groupby(later["measures"]).first().reindex(names).set_axis(labels.index)
    return labels.where(labels != "", newest.fillna(""))
