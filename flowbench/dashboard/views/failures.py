"""The failure ledger: every run that did not complete, with its reason."""

from collections.abc import Mapping

import pandas as pd
from dash import html
from dash.development.base_component import Component

from flowbench.compare.runs import Frame
from flowbench.dashboard import parts
from flowbench.dashboard.export import table_href
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import View
from flowbench.report.ledger import failures, failures_note
from flowbench.report.tables import excerpt

NAME = "failures"
TITLE = "Failures"
QUESTION = "What went wrong, where and why?"
MOST = 500
"""Failures that the page lists; the CSV file has all."""


def show(seen: Seen) -> Component:
    """Return the ledger."""
    shown = Frame(seen.frame.tracking_uri, seen.runs)
    ledger = failures(shown)
    if ledger.empty:
        return parts.page(TITLE, QUESTION, parts.nothing("Every run completed or was pruned."))
    links = {run: seen.address.of_run(run).href for run in ledger["run"].head(MOST)}
    return parts.page(
        TITLE,
        QUESTION,
        html.P(failures_note(shown), className="note"),
        html.P(html.A("CSV", href=table_href(seen.address, NAME), className="export"),
               className="exports"),
        parts.table(excerpt(ledger, MOST), links),
    )  # fmt: skip


def tables(seen: Seen) -> Mapping[str, pd.DataFrame]:
    """Return the whole ledger."""
    return {NAME: failures(Frame(seen.frame.tracking_uri, seen.runs))}


VIEW = View(NAME, TITLE, QUESTION, show, tables, part="Runs")
