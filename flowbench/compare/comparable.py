"""Which figures of one data set may be ranked together."""

import pandas as pd

from flowbench.compare.runs import BATCHES

ALIKE = {
    "speed": ("speed_device", "speed_protocol"),
    "inversion": ("inversion_points", "inversion_protocol"),
}
"""What must be the same for all: maxima grow with the number of points."""


def comparable(rows: pd.DataFrame, key: str) -> bool:
    """Say whether a column of the leaderboard may be ranked.

    Args:
        rows: one data set's rows.
        key: the column; only timings and inversion errors can be incomparable.
    """
    timed = key.startswith("speed_b") or key == "latency_ms"
    subject = "speed" if timed else key
    known = rows[rows[key].notna()]
    return all(known[column].nunique() <= 1 for column in ALIKE.get(subject, ()))


def common_batch(rows: pd.DataFrame) -> int | None:
    """Return the largest batch size at which the most families were timed; None where none was."""
    counts = {batch: int(rows[f"speed_b{batch}"].notna().sum()) for batch in BATCHES}
    most = max(counts.values())
    return max(batch for batch, count in counts.items() if count == most) if most else None


def sampling_times(rows: pd.DataFrame) -> pd.Series | None:
    """Return milliseconds a sample at the common batch size; None where nothing was timed."""
    batch = common_batch(rows)
    return None if batch is None else 1000 / rows[f"speed_b{batch}"]
