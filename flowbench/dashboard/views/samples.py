"""What each family generates, beside the data."""

import pandas as pd
from dash.development.base_component import Component

from flowbench.dashboard import parts
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import MOST_GROUPS, View
from flowbench.report.sections import sample_panels

NAME = "samples"
TITLE = "Samples"
QUESTION = "What does each family generate?"


def show(seen: Seen) -> Component:
    """Return a gallery for each data set."""
    galleries = [_gallery(seen, rows) for rows in seen.groups[:MOST_GROUPS]]
    found = [gallery for gallery in galleries if gallery is not None]
    absent = parts.nothing("No run that the leaderboard quotes kept samples.")
    return parts.page(TITLE, QUESTION, *(found or [absent]))


def _gallery(seen: Seen, rows: pd.DataFrame) -> Component | None:
    return parts.gallery(
        str(rows["data"].iloc[0]),
        *seen.snapshot.once(
            (NAME, tuple(rows.index), seen.address.sweep), lambda: sample_panels(seen.frame, rows)
        ),
    )


VIEW = View(NAME, TITLE, QUESTION, show, part="Compare")
