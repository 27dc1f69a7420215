"""The list of views, and what the record's reader is at."""

from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from flowbench.dashboard import parts
from flowbench.dashboard.address import Address
from flowbench.dashboard.record import Record
from flowbench.dashboard.views.registry import VIEWS


def navigation(address: Address) -> list[Component]:
    """Return links to the listed views, which keep the filters."""
    headings: dict[str, list[Component]] = {}
    for view in VIEWS.values():
        if view.part:
            here: Any = {"aria-current": "page"} if view.name == address.view else {}
            link = dcc.Link(view.title, href=address.at(view.name).href)
            headings.setdefault(view.part, []).append(html.Li(link, **here))
    return [html.Div([html.Span(part), html.Ul(links)]) for part, links in headings.items()]


def state(record: Record) -> list[Component]:
    """Say in a line how current the page is."""
    if record.progress.trouble:
        return [html.Span(record.progress.trouble, className="trouble")]
    snapshot = record.snapshot
    if snapshot is None:
        return [html.Span(parts.reading(record))]
    count = len(snapshot.frame.runs)
    noun = "run" if count == 1 else "runs"
    return [html.Span(f"{count:,} {noun}", title=f"newest {snapshot.version}")]
