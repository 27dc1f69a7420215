"""The leaderboard as a table that can be sorted and filtered."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from flowbench.compare.columns import Column, present, written
from flowbench.compare.fairness import Flag
from flowbench.compare.runs import PROTOCOL
from flowbench.dashboard import parts
from flowbench.dashboard.export import table_href
from flowbench.dashboard.grid import NUMBER, WORDS, grid
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import MOST_GROUPS, View
from flowbench.report.findings import Finding
from flowbench.report.tables import best_rows
from flowbench.report.theme import looks
from flowbench.report.words import best_likelihood, fastest, most_exact

NAME = "leaderboard"
TITLE = "Leaderboard"
QUESTION = "Which flow for these data, by how much, and at what price?"
MOST_OPEN = 6
"""Sentences that are shown without being asked for."""


def show(seen: Seen) -> Component:
    """Return the answer for each data set, what to read with it, and the table."""
    rows = seen.rows
    if rows.empty:
        return parts.page(TITLE, QUESTION, parts.nothing("No run has finished yet."))
    sweep = seen.address.sweep
    faults = [fault for fault in seen.snapshot.findings(sweep) if _concerns(seen, fault.data)]
    flags = [flag for flag in seen.snapshot.flags(sweep) if _concerns(seen, flag.data)]
    return parts.page(
        TITLE,
        QUESTION,
        *[html.P(words, className="answer") for words in answers(seen)],
        html.Div(
            [
                html.A("CSV", href=table_href(seen.address, NAME), className="export"),
                parts.report_link(seen.address),
            ],
            className="exports",
        ),
        grid(
            NAME, columns(rows), seen.address, cells(rows),
            getRowId="params.data.run", options={"domLayout": "autoHeight"},
        ),
        _listed("faults that the measurements show", "faults", faults),
        _listed("things to read with the numbers", "flags", flags),
    )  # fmt: skip


def _listed(what: str, kind: str, found: Sequence[Flag | Finding]) -> Component | None:
    if not found:
        return None
    sentences = [html.Li([html.B(f.data or "all data"), f" {f.sentence}"]) for f in found]
    return html.Details(
        [html.Summary(f"{len(found)} {what}"), html.Ul(sentences)],
        className=kind, open=len(found) <= MOST_OPEN,
    )  # fmt: skip


def whole_groups(seen: Seen) -> list[pd.DataFrame]:
    """Return each shown data set's rows with its hidden families: they count in its answer."""
    table = seen.leaderboard
    shown = seen.rows
    return [
        rows
        for keys, rows in table.groupby(PROTOCOL, sort=True)
        if (shown[PROTOCOL] == pd.Series(keys, index=PROTOCOL)).all(axis=1).any()
    ]


def answers(seen: Seen) -> list[str]:
    """Say for each shown data set which family serves it best."""
    pairs = seen.snapshot.differences(seen.address.sweep)
    return [
        " ".join(filter(None, (
            best_likelihood(rows, seen.of_group(pairs, rows)), most_exact(rows), fastest(rows),
        )))
        for rows in whole_groups(seen)[:MOST_GROUPS]
    ]  # fmt: skip


def columns(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the table's columns: those of the leaderboard that say something."""
    found = [_column(column) for column in present(rows)]
    data = {"field": "data", "headerName": "data", **WORDS, "pinned": None}
    return [*found[:2], data, *found[2:]]


def _column(column: Column) -> dict[str, Any]:
    kind = WORDS if column.kind == "text" else NUMBER
    defined = {
        "field": column.key, "headerName": column.title, "headerTooltip": column.meaning, **kind,
    }  # fmt: skip
    if column.kind != "text":
        defined["valueFormatter"] = {"function": "asWritten(params)"}
        defined["cellClassRules"] = {"best": "isBest(params)"}
    if column.key == "family":
        defined["cellRenderer"] = "FamilyOfRun"
    return defined


def cells(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as ag-grid takes them: numbers to sort by, beside them as they are written.

    `words` holds what each number reads, `best` the columns in which the row is the best.
    """
    shown = present(rows)
    looked = looks(rows["family"])
    best = {
        (i, column.key)
        for _, group in rows.groupby(PROTOCOL)
        for column in shown
        for i, mark in zip(group.index, best_rows(group, column.key, column.good), strict=True)
        if mark
    }
    return [
        {
            **{column.key: _plain(row[column.key]) for column in shown},
            "data": row["data"],
            "run": row["run_ids"][0],
            "colour": looked[row["family"]].colour,
            "words": {c.key: written(row, c) for c in shown if c.kind != "text"},
            "best": [column.key for column in shown if (i, column.key) in best],
        }
        for i, row in rows.to_dict("index").items()
    ]


def tables(seen: Seen) -> Mapping[str, pd.DataFrame]:
    """Return the shown rows of the leaderboard."""
    rows = seen.rows
    return {NAME: rows.assign(run_ids=[" ".join(ids) for ids in rows["run_ids"]])}


def _concerns(seen: Seen, data: str) -> bool:
    return not seen.address.data or data in ("", seen.address.data)


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


VIEW = View(NAME, TITLE, QUESTION, show, tables, part="Compare")
