"""What a view is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd
from dash.development.base_component import Component

from flowbench.dashboard import parts
from flowbench.dashboard.address import Address
from flowbench.dashboard.picture import Picture
from flowbench.dashboard.seen import Seen
from flowbench.spec.sweep import slug

Filter = Literal["sweep", "data", "family"]

MOST_GROUPS = 6
"""Data sets that a page of figures shows; a longer page would be slow to draw."""


def no_tables(_: Seen) -> Mapping[str, pd.DataFrame]:
    """A view without a table to take away."""
    return {}


def unchanging(_: Address) -> str:
    """A view that shows nothing but the record."""
    return ""


@dataclass(frozen=True)
class View:
    """One page of the dashboard."""

    name: str
    """Its path."""
    title: str
    question: str
    """What it answers."""
    show: Callable[[Seen], Component]
    tables: Callable[[Seen], Mapping[str, pd.DataFrame]] = no_tables
    """What of it can be had as CSV, by name."""
    filters: tuple[Filter, ...] = ("sweep", "data", "family")
    """What a person can choose."""
    part: str = ""
    """Under which heading it is listed; empty for a view that is reached from another."""
    state: Callable[[Address], str] = unchanging
    """What it shows beside the record, as a text that changes when that changes."""
    pictures: Callable[[Seen], list[Picture]] | None = None
    """The figures of a view of figures."""


def figure_view(
    name: str,
    title: str,
    question: str,
    pictures: Callable[[Seen], list[Picture]],
    absent: str,
    *,
    part: str,
    most: int = MOST_GROUPS,
) -> View:
    """Return a view that shows nothing but figures.

    Args:
        name: its path.
        title: its title.
        question: what it answers.
        pictures: makes the figures; called once a moment of the record and address.
        absent: what to say where there is none.
        part: under which heading it is listed.
        most: data sets that it shows.
    """

    def made(seen: Seen) -> list[Picture]:
        return seen.snapshot.once((name, seen.address.search), lambda: pictures(seen))

    def show(seen: Seen) -> Component:
        found = made(seen)
        more = len(seen.groups) > most
        return parts.page(
            title,
            question,
            parts.figures(found, seen.address) if found else parts.nothing(absent),
            parts.note("There are more data sets: choose one above.") if more else None,
        )

    def tables(seen: Seen) -> Mapping[str, pd.DataFrame]:
        return {picture.name: picture.data for picture in made(seen)}

    return View(name, title, question, show, tables, part=part, pictures=made)


def each_group(
    seen: Seen,
    pictures: Callable[[Seen, pd.DataFrame], list[Picture]],
    most: int = MOST_GROUPS,
) -> list[Picture]:
    """Return the figures of each data set that is shown, named and titled by it.

    Args:
        seen: what is shown.
        pictures: makes those of one data set, given its rows of the leaderboard.
        most: how many data sets that have any.
    """
    found: list[Picture] = []
    shown = 0
    for number, rows in enumerate(seen.groups, 1):
        data = str(rows["data"].iloc[0])
        made = pictures(seen, rows)
        for picture in made:
            name = f"{number}-{slug(data)}-{picture.name}"
            found.append(replace(picture, name=name, title=f"{picture.title}: {data}"))
        shown += bool(made)
        if shown == most:
            break
    return found
