"""What depth, data and dimensions do to the excess over the entropy and to sampling time."""

import pandas as pd

from flowbench.dashboard.picture import Picture
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import each_group, figure_view
from flowbench.report.figures.excess_against_depth import (
    excess_against_depth_data,
    excess_against_depth_figure,
)
from flowbench.report.figures.excess_against_train_size import (
    excess_against_train_size_data,
    excess_against_train_size_figure,
)
from flowbench.report.figures.sampling_against_dimension import (
    sampling_against_dimension_data,
    sampling_against_dimension_figure,
)


def _across(seen: Seen) -> list[Picture]:
    found = []
    time = sampling_against_dimension_data(seen.rows)
    if time["dimensions"].nunique() > 1:
        found.append(Picture(
            "sampling-against-dimension", "Sampling time against the number of dimensions",
            f"All on {time['device'].iloc[0] or 'the same device'}; each at its own data set, so"
            " models differ in size too.",
            time, sampling_against_dimension_figure,
        ))  # fmt: skip
    size = excess_against_train_size_data(seen.runs, seen.rows)
    if len(size):
        found.append(Picture(
            "excess-against-train-size", "Excess against the training set's size",
            "Nats above the entropy, on densities whose entropy is known.",
            size, excess_against_train_size_figure,
        ))  # fmt: skip
    return found


def _depth(seen: Seen, rows: pd.DataFrame) -> list[Picture]:
    data = excess_against_depth_data(seen.runs, rows)
    if data.empty:
        return []
    return [
        Picture(
            "excess-against-depth", "Excess against depth",
            "Nats above the entropy of the best trial of each depth, with two standard errors.",
            data, excess_against_depth_figure,
        )
    ]  # fmt: skip


VIEW = figure_view(
    "scaling",
    "Depth, data, dimensions",
    "What do more layers, more data and more dimensions bring and cost?",
    lambda seen: [*_across(seen), *each_group(seen, _depth)],
    "These figures need several depths on a known density, several training sizes, or data sets"
    " of several dimensions.",
    part="Why",
)
