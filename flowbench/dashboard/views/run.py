"""One run in full: what it is, what it states, how it went, what it generates."""

from collections.abc import Mapping, Sequence

import pandas as pd
from dash import dcc, html
from dash.development.base_component import Component

from flowbench.dashboard import parts
from flowbench.dashboard.address import Address
from flowbench.dashboard.defaults import DEFAULTS
from flowbench.dashboard.described import (
    Row,
    against_defaults,
    differing,
    facts,
    measures,
    mlflow_href,
)
from flowbench.dashboard.live import state_of_run
from flowbench.dashboard.picture import Picture
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import View
from flowbench.dashboard.views.inversion import CAPTION
from flowbench.report.figures.inversion_curve import inversion_curve_data, inversion_curve_figure
from flowbench.report.figures.learning_curves import learning_curves_data, learning_curves_figure
from flowbench.report.sections import sample_panels
from flowbench.report.tables import plain

TITLE = "Run"
QUESTION = "What is this run, how did it go, and what came of it?"


def show(seen: Seen) -> Component:
    """Return all that the record knows of the run that the address names."""
    if not seen.address.runs:
        return parts.page(TITLE, QUESTION, parts.nothing("No run is named in this address."))
    name = seen.address.runs[0]
    row = seen.run(name)
    if row is None:
        words = state_of_run(name) or "no such run in the record."
        return parts.page(name, QUESTION, parts.nothing(f"{name}: {words}"))
    rows = quoting([row])
    stated = against_defaults(row)
    return parts.page(
        name,
        QUESTION,
        html.Div(
            [
                parts.card("What it is", parts.facts({**facts(row), "MLflow": _link(seen, row)})),
                _specification(stated),
            ],
            className="cards",
        ),
        parts.figures(pictures(seen), seen.address),
        parts.gallery("Samples beside the data", *sample_panels(seen.frame, rows)),
        _beside(seen, name),
        html.Details(
            [
                html.Summary("Every figure in the record"),
                parts.facts(measures(row)),
            ],
            className="card",
        ),
    )


def quoting(rows: Sequence[Row]) -> pd.DataFrame:
    """Return runs as rows of a leaderboard that quotes nothing else: what figures are made of."""
    return pd.DataFrame(
        [
            {
                **{key: row[key] for key in ("data", "data_hash", "preprocess", "family")},
                "run_ids": (str(row["run"]),),
            }
            for row in rows
        ]
    )


def pictures(seen: Seen) -> list[Picture]:
    """Return the run's learning curve, and its inversion curve where it was measured."""
    row = seen.run(seen.address.runs[0]) if seen.address.runs else None
    if row is None:
        return []
    rows = quoting([row])
    found = []
    curve = learning_curves_data(seen.frame, rows)
    if len(curve):
        found.append(Picture(
            "curve", "Learning curve", "Validation bits/dim.", curve, learning_curves_figure
        ))  # fmt: skip
    inversion = inversion_curve_data(seen.frame, rows)
    if len(inversion):
        found.append(Picture(
            "inversion-curve", "Inversion error against iterations", CAPTION, inversion,
            inversion_curve_figure,
        ))  # fmt: skip
    return found


def _specification(stated: pd.DataFrame) -> Component:
    changed = differing(stated)
    note = (
        "What differs from the defaults."
        if DEFAULTS.known
        else "What differs from the defaults; the family's own are being asked for."
    )
    return parts.card(
        "Specification",
        html.P(note, className="note"),
        parts.table(plain(changed)) if len(changed) else html.P("Nothing: all is at its default."),
        html.Details([html.Summary("All of it"), parts.table(plain(stated))]),
    )


def _link(seen: Seen, row: Row) -> Component | str:
    href = mlflow_href(seen.snapshot, row)
    if not href:
        return ""
    link = html.A("this run", href=href, target="_blank", rel="noreferrer")
    if seen.frame.tracking_uri.startswith("http"):
        return link
    return html.Span([link, " (while ", html.Code("flowbench mlflow"), " runs)"])


def _beside(seen: Seen, name: str) -> Component | None:
    """Offer to compare the run with the best of the other families on the same data."""
    row = seen.run(name)
    if row is None:
        return None
    rows = seen.of_group(seen.leaderboard, quoting([row]))
    others = [ids[0] for ids in rows["run_ids"] if name not in ids]
    if not others:
        return None
    links = [
        html.Li(dcc.Link(other, href=seen.address.beside([name, other]).href)) for other in others
    ]
    return parts.card("Side by side with", html.Ul(links, className="plain"))


def tables(seen: Seen) -> Mapping[str, pd.DataFrame]:
    """Return what the run's figures are drawn from."""
    return {picture.name: picture.data for picture in pictures(seen)}


def state(address: Address) -> str:
    """Return whether the families' defaults are known yet, and what a run that runs is at."""
    running = state_of_run(address.runs[0]) if address.runs else ""
    return f"{DEFAULTS.known} {running}"


VIEW = View("run", TITLE, QUESTION, show, tables, filters=(), state=state, pictures=pictures)
