"""Bits/dim against the Lipschitz constant and depth, as a map."""

import pandas as pd

from flowbench.dashboard.picture import Picture
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import each_group, figure_view
from flowbench.report.figures.lipschitz_map import lipschitz_map_data, lipschitz_map_figure


def _pictures(seen: Seen, rows: pd.DataFrame) -> list[Picture]:
    data = lipschitz_map_data(seen.runs, rows)
    if data.empty:
        return []
    return [
        Picture(
            "lipschitz-map", "Lipschitz constant and depth",
            "Every finished trial, on validation points; dark is low, which is better. Trials of"
            " one place are averaged.",
            data, lipschitz_map_figure, wide=True,
        )
    ]  # fmt: skip


VIEW = figure_view(
    "lipschitz",
    "Lipschitz and depth",
    "What does a tighter bound on the residual branch cost, at which depth?",
    lambda seen: each_group(seen, _pictures),
    "No finished trial states a Lipschitz constant.",
    part="Why",
)
