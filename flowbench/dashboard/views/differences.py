"""Which differences are more than chance: families pair by pair, and ranks over data sets."""

from collections.abc import Mapping

import pandas as pd
from dash import html
from dash.development.base_component import Component

from flowbench.compare.ranks import average_ranks
from flowbench.dashboard import parts
from flowbench.dashboard.picture import Picture
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import MOST_GROUPS, View
from flowbench.report.comparisons import pairs_table, tuned_table
from flowbench.report.figures.critical_difference import (
    critical_difference_data,
    critical_difference_figure,
)
from flowbench.report.tables import Titled
from flowbench.report.words import across

NAME = "differences"
TITLE = "Differences"
QUESTION = "Which differences are more than chance, and what was tuning worth?"


def show(seen: Seen) -> Component:
    """Return the average ranks, then for each data set its pairs and what tuning gained."""
    ranked = _ranked(seen)
    cards = [
        parts.titled(titled, seen.address, f"{data}-{titled.name}", f"{titled.title}: {data}")
        for data, titled in _titled(seen)
    ]
    if ranked is None and not cards:
        absent = "No two families of one data set have finished."
        return parts.page(TITLE, QUESTION, parts.nothing(absent))
    return parts.page(
        TITLE,
        QUESTION,
        parts.figures([ranked], seen.address) if ranked is not None else None,
        html.Div(cards, className="stack"),
    )


def _ranked(seen: Seen) -> Picture | None:
    """Return the average ranks, None below the data sets that a test needs."""
    ranks = average_ranks(seen.rows)
    if not (ranks.groups or ranks.critical_difference > 0):
        return None
    return Picture(
        "critical-difference", "Average ranks", across(ranks), critical_difference_data(ranks),
        critical_difference_figure, wide=True,
    )  # fmt: skip


def _titled(seen: Seen) -> list[tuple[str, Titled]]:
    sweep, chosen = seen.address.sweep, seen.address.families
    pairs, tuned = seen.snapshot.differences(sweep), seen.snapshot.tuned(sweep)
    if chosen:
        pairs = pairs[pairs["family"].isin(chosen) & pairs["other"].isin(chosen)]
        tuned = tuned[tuned["family"].isin(chosen)]
    return [
        (str(rows["data"].iloc[0]), titled)
        for rows in seen.groups[:MOST_GROUPS]
        for titled in (
            *pairs_table(seen.of_group(pairs, rows)),
            *tuned_table(seen.of_group(tuned, rows)),
        )
    ]


def tables(seen: Seen) -> Mapping[str, pd.DataFrame]:
    """Return the tables that are shown, and what the average ranks are drawn from."""
    found = {f"{data}-{titled.name}": titled.data for data, titled in _titled(seen)}
    ranked = _ranked(seen)
    return found if ranked is None else found | {ranked.name: ranked.data}


VIEW = View(NAME, TITLE, QUESTION, show, tables, part="Compare")
