"""The whole search: every trial over its hyperparameters, and which of them mattered."""

import pandas as pd

from flowbench.dashboard.kept import Kept
from flowbench.dashboard.picture import Picture
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import each_group, figure_view
from flowbench.report.figures.parallel_coordinates import (
    parallel_coordinates_data,
    parallel_coordinates_figure,
)
from flowbench.report.figures.parameter_importance import (
    parameter_importance_data,
    parameter_importance_figure,
)
from flowbench.report.figures.trials import finished_trials

KEPT: Kept[pd.DataFrame] = Kept(200)


def _pictures(seen: Seen, rows: pd.DataFrame) -> list[Picture]:
    chosen = seen.address.families
    found = []
    lines = parallel_coordinates_data(seen.runs, rows, chosen[0] if len(chosen) == 1 else None)
    if lines["axis"].nunique() > 1:
        found.append(Picture(
            "parallel-coordinates", "Every trial of the search",
            "A line a trial, the best fifth of each family bold. The axes are the hyperparameters"
            " that all shown families searched; choose one family to see all of its own.",
            lines, parallel_coordinates_figure, wide=True,
        ))  # fmt: skip
    importance = pd.concat([_importance(seen, rows, family) for family in rows["family"]])
    if len(importance):
        found.append(Picture(
            "importance", "Which hyperparameters mattered",
            "Share of the error that shuffling each adds to a random forest of the family's"
            " trials.",
            importance, parameter_importance_figure, wide=True,
        ))  # fmt: skip
    return found


def _importance(seen: Seen, rows: pd.DataFrame, family: str) -> pd.DataFrame:
    """Return what mattered to one family; it is worked out again only when it has new trials."""
    runs = seen.runs[seen.runs["family"] == family]
    trials = finished_trials(runs, rows)
    key = (family, int(pd.util.hash_pandas_object(trials["mlflow_id"]).sum()))
    return KEPT.get(key, lambda: parameter_importance_data(runs, rows))


VIEW = figure_view(
    "hyperparameters",
    "Hyperparameters",
    "Where do good trials lie, and which hyperparameters decide?",
    lambda seen: each_group(seen, _pictures, most=1),
    "No family has enough finished trials that differ.",
    part="Why",
    most=1,  # a random forest a family takes its time
)
