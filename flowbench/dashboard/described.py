"""One run in words: what it is, what it states beyond the defaults, where else to look."""

from collections.abc import Hashable, Mapping
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from flowbench.compare.columns import UNKNOWN
from flowbench.dashboard.defaults import DEFAULTS
from flowbench.dashboard.snapshot import Snapshot
from flowbench.tracking.source import Source

Row = Mapping[Hashable, Any]

MLFLOW = "http://127.0.0.1:5000"
"""Where `flowbench mlflow` shows a record that has no server of its own."""
PARAMETER = "param."
NOT_A_CHOICE = ("data.name", "data.path", "data.train", "data.validation", "data.test",
                "family.name")  # fmt: skip
"""Keys that say what a run is about; they have no default to differ from."""


def specification(row: Row) -> dict[str, str]:
    """Return what a run states, by the specification's dotted keys."""
    return {
        str(column).removeprefix(PARAMETER): str(value)
        for column, value in row.items()
        if str(column).startswith(PARAMETER) and not pd.isna(value)
    }


def against_defaults(row: Row) -> pd.DataFrame:
    """Return `key value default` of all that a run states; `default` is empty where none is known.

    The family's own defaults are known once the families have answered.
    """
    defaults = DEFAULTS.of(str(row["family"]))
    stated = specification(row)
    return pd.DataFrame(
        [(key, value, defaults.get(key, "")) for key, value in sorted(stated.items())],
        columns=["key", "value", "default"],
    )


def differing(stated: pd.DataFrame) -> pd.DataFrame:
    """Keep what differs from its default, or has none."""
    same = [_same(v, d) for v, d in zip(stated["value"], stated["default"], strict=True)]
    about = stated["key"].isin(NOT_A_CHOICE)
    return stated[~pd.Series(same, stated.index, dtype=bool) & ~about]


def facts(row: Row) -> dict[str, Any]:
    """Return what a run is, by a name to show."""
    versions = [
        f"{str(name).removeprefix('version.')} {value}"
        for name, value in row.items()
        if str(name).startswith("version.") and isinstance(value, str) and value
    ]
    return {
        "family": row["family"],
        "data": row["data"],
        "stage": row["stage"],
        "outcome": str(row["outcome"]).replace("_", " ") or "no result yet",
        "reason": row["reason"],
        "sweep": row["sweep"],
        "model seed": _whole(row["model_seed"]),
        "data seed": _whole(row["data_seed"]),
        "parameters": _whole(row["parameters"]),
        "started": "" if pd.isna(row["started"]) else f"{row['started']:%Y-%m-%d %H:%M:%S} UTC",
        "seconds": _whole(row.get("seconds")),
        "device": row["device"],
        "commit": row["git_commit"],
        "spec": row["spec_hash"],
        "data hash": row["data_hash"],
        "command": row["command"],
        "versions": ", ".join(versions),
    }


def measures(row: Row) -> dict[str, str]:
    """Return every figure of a run by its name in the record."""
    return {
        str(name): f"{value:.6g}"
        for name, value in sorted(row.items(), key=lambda item: str(item[0]))
        if "/" in str(name)
        and not str(name).startswith((PARAMETER, "label.", "full/"))
        and isinstance(value, float)
        and not pd.isna(value)
    }


def mlflow_href(snapshot: Snapshot, row: Row) -> str:
    """Return where MLflow shows a run; empty for one that the record has not got."""
    uri = snapshot.frame.tracking_uri
    source = snapshot.once("source", lambda: Source.of(uri))
    if source is None or not row.get("mlflow_id"):
        return ""
    base = MLFLOW
    if uri.startswith("http"):
        parts = urlsplit(uri)
        base = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    return f"{base}/#/experiments/{source.experiment}/runs/{row['mlflow_id']}"


def _same(value: str, default: str) -> bool:
    try:
        return float(value) == float(default)
    except ValueError:
        return value == default


def _whole(value: Any) -> str:
    return "" if value is None or pd.isna(value) else f"{value:,.0f}" or UNKNOWN
