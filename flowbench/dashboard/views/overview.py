"""Every sweep: how far it is, and what it found."""

from collections.abc import Iterator

import pandas as pd
from dash import dcc, html
from dash.development.base_component import Component

from flowbench.dashboard import parts
from flowbench.dashboard.address import Address
from flowbench.dashboard.live import state_of, sweeps_here
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import View
from flowbench.dashboard.views.leaderboard import answers
from flowbench.report.ledger import ENDED_WELL

TITLE = "Overview"
QUESTION = "What has been run, what runs now, and what came of it?"
COUNTS = ("runs", "failed", "families", "data sets")
STATES = {"running": "good", "stopped": "trouble", "finished": ""}


def show(seen: Seen) -> Component:
    """Return the answers of all runs, and a line a sweep."""
    here = {name: state_of(directory) for name, directory in sweeps_here().items()}
    names = [*(name for name in here if name not in seen.sweeps), *seen.sweeps]
    names.sort(key=lambda name: here.get(name) != "running")  # running ones first
    if not names and seen.frame.runs.empty:
        return parts.page(
            TITLE, QUESTION,
            parts.nothing("Nothing has been run yet: flowbench sweep run SWEEP.yaml"),
        )  # fmt: skip
    rows = [row for name in names for row in _sweep(seen, name, here.get(name, ""))]
    head = [
        html.Th(title, className="number" if title in COUNTS else "")
        for title in ("sweep", "state", *COUNTS, "last run", "")
    ]
    return parts.page(
        TITLE,
        QUESTION,
        *[html.P(words, className="answer") for words in answers(seen)],
        html.Div(
            html.Table([
                html.Thead(html.Tr(head)),
                html.Tbody(rows),
            ]),
            className="scroll", tabIndex=0,
        ) if names else None,
    )  # fmt: skip


def _sweep(seen: Seen, name: str, state: str) -> Iterator[Component]:
    runs = seen.frame.runs[seen.frame.runs["sweep"] == name]
    address = Address(sweep=name)
    failed = int((~runs["outcome"].isin(ENDED_WELL)).sum())
    last = runs["started"].max()
    links = [dcc.Link("leaderboard", href=address.at("leaderboard").href)] if len(runs) else []
    if state:
        links = [dcc.Link("live", href=address.at("live").href), *links]
    yield html.Tr([
        html.Td(dcc.Link(name, href=address.at("live" if state else "leaderboard").href)),
        html.Td(state or "in the record", className=STATES.get(state, "")),
        html.Td(f"{len(runs):,}", className="number"),
        html.Td(
            dcc.Link(f"{failed:,}", href=address.at("failures").href) if failed else "0",
            className="number",
        ),
        html.Td(str(runs["family"].nunique()), className="number"),
        html.Td(str(runs["data"].nunique()), className="number"),
        html.Td("" if pd.isna(last) else f"{last:%Y-%m-%d %H:%M}"),
        html.Td([part for link in links for part in (link, " ")]),
    ])  # fmt: skip


def state(_: Address) -> str:
    """Return what the sweeps here are at."""
    return ",".join(f"{name}:{state_of(directory)}" for name, directory in sweeps_here().items())


VIEW = View("overview", TITLE, QUESTION, show, filters=("data",), part="Sweeps",
            state=state)  # fmt: skip
