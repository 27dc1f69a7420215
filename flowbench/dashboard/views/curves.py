"""How training went, and what more trials would bring."""

import pandas as pd

from flowbench.dashboard.picture import Picture
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import each_group, figure_view
from flowbench.report.figures.best_after_trials import (
    best_after_trials_data,
    best_after_trials_figure,
)
from flowbench.report.figures.learning_curves import learning_curves_data, learning_curves_figure


def _pictures(seen: Seen, rows: pd.DataFrame) -> list[Picture]:
    found = []
    curves = learning_curves_data(seen.frame, rows)
    if len(curves):
        found.append(Picture(
            "curves", "Learning curves",
            "Validation bits/dim of the runs that the leaderboard quotes, one line a seed. A click"
            " on a point opens its run.",
            curves, learning_curves_figure, places=("step", "value"),
        ))  # fmt: skip
    best = best_after_trials_data(seen.snapshot.best_after(seen.address.sweep), rows)
    best = best[best["family"].isin(rows["family"])]
    if len(best):
        found.append(Picture(
            "best-after-trials", "Which family wins at which budget",
            "Best validation bits/dim to expect of the first k trials, with its 95 % interval over"
            " resampled trials.",
            best, best_after_trials_figure,
        ))  # fmt: skip
    return found


VIEW = figure_view(
    "curves",
    "Learning curves",
    "How did training go, and would more trials change who wins?",
    lambda seen: each_group(seen, _pictures),
    "No run has a learning curve yet.",
    part="Why",
)
