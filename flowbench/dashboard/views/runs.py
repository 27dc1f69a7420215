"""Every run of the record, sorted and filtered on the server: 10,000 of them are no page."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from flowbench.compare.columns import UNKNOWN, significant, with_error
from flowbench.dashboard import parts
from flowbench.dashboard.export import table_href
from flowbench.dashboard.grid import NUMBER, WORDS, filters_of, grid, order_of
from flowbench.dashboard.query import asked
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import View
from flowbench.report.theme import looks

NAME = "runs"
TITLE = "All runs"
QUESTION = "Which runs are there, and what did each reach? Two that are ticked can be compared."

COLUMNS: dict[str, tuple[str, dict[str, Any]]] = {
    "run": ("run", WORDS),
    "family": ("family", WORDS),
    "data": ("data", WORDS),
    "stage": ("stage", WORDS),
    "outcome": ("outcome", {**WORDS, "minWidth": 150}),
    "val/bits_per_dim": ("val bits/dim", NUMBER),
    "test/bits_per_dim": ("test bits/dim", NUMBER),
    "inversion/flow/xzx/max": ("inversion error", NUMBER),
    "sampling/b1/latency_ms": ("ms, batch 1", NUMBER),
    "parameters": ("parameters", NUMBER),
    "seconds": ("seconds", NUMBER),
    "sweep": ("sweep", WORDS),
    "started": ("started", {}),
}
"""Columns of the frame -> their title and kind; ag-grid knows them by their place."""
SHORT = {name: name.replace("/", "_").replace(".", "_") for name in COLUMNS}
"""What ag-grid calls them: a dot in a name would mean a part of something."""


def show(seen: Seen) -> Component:
    """Return the table; its rows come as they are scrolled to."""
    return parts.page(
        TITLE,
        QUESTION,
        html.P(
            [
                html.Span(id="comparable"),
                html.A("CSV", href=table_href(seen.address, NAME), className="export"),
            ],
            className="exports",
        ),
        grid(
            NAME, [_column(name) for name in COLUMNS], seen.address, None,
            getRowId="params.data.run", style={"height": "70vh"},
            options={
                "rowSelection": {"mode": "multiRow", "headerCheckbox": False},
                "cacheBlockSize": 100, "maxConcurrentDatasourceRequests": 1,
            },
        ),
    )  # fmt: skip


def _column(name: str) -> dict[str, Any]:
    title, kind = COLUMNS[name]
    defined = {"field": SHORT[name], "headerName": title, **kind}
    if kind is NUMBER or name == "started":
        defined["valueFormatter"] = {"function": "asWritten(params)"}
    if name == "run":
        defined |= {"cellRenderer": "RunLink", "minWidth": 300}
    if name == "family":
        defined |= {"cellRenderer": "Family", "minWidth": 130}
    return defined


def table(seen: Seen) -> pd.DataFrame:
    """Return the runs that are shown, under ag-grid's names of the columns."""

    def made() -> pd.DataFrame:
        whole = seen.frame.joined.reindex(columns=list(COLUMNS)).rename(columns=SHORT)
        return whole.iloc[::-1]  # the newest first

    whole = seen.snapshot.once((NAME, seen.address.sweep), made)
    return whole[seen.shown_of(whole)]


def page_of(seen: Seen, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer ag-grid's request for some rows.

    Args:
        seen: what is shown.
        request: its `startRow`, `endRow`, `filterModel` and `sortModel`.
    """
    order = [(sort["colId"], sort["sort"]) for sort in request.get("sortModel") or []]
    found = asked(table(seen), request.get("filterModel") or {}, order)
    some = found.iloc[int(request["startRow"]) : int(request["endRow"])]
    looked = looks(some["family"])
    rows = [
        {
            **{key: _plain(value) for key, value in row.items()},
            "colour": looked[row["family"]].colour,
            "words": _words(row),
        }
        for row in some.to_dict("records")
    ]
    return {"rowData": rows, "rowCount": len(found)}


def _words(row: Mapping[Any, Any]) -> dict[str, str]:
    words = {
        SHORT[name]: UNKNOWN if _unknown(row[SHORT[name]]) else _written(name, row[SHORT[name]])
        for name, (_, kind) in COLUMNS.items()
        if kind is NUMBER
    }
    return words | {"started": f"{row['started']:%Y-%m-%d %H:%M}"}


def _written(name: str, value: float) -> str:
    if name.endswith("bits_per_dim"):
        return with_error(value, math.nan) if not math.isfinite(value) else f"{value:.4f}"
    if name in ("parameters", "seconds"):
        return f"{value:,.0f}"
    return significant(value, 2)


def tables(seen: Seen) -> Mapping[str, pd.DataFrame]:
    """Return the runs that are shown, filtered and sorted as the address says."""
    order = [(column, way) for column, (way, _) in order_of(seen.address).items()]
    return {NAME: asked(table(seen), filters_of(seen.address), order)}


def _plain(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return None if _unknown(value) or value in (math.inf, -math.inf) else value


def _unknown(value: Any) -> bool:
    return value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


VIEW = View(NAME, TITLE, QUESTION, show, tables, part="Runs")
