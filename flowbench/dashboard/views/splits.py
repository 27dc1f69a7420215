"""How the coupling split matters."""

import pandas as pd

from flowbench.dashboard.picture import Picture
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import each_group, figure_view
from flowbench.report.figures.split_comparison import split_comparison_data, split_comparison_figure


def _pictures(seen: Seen, rows: pd.DataFrame) -> list[Picture]:
    data = split_comparison_data(seen.runs, rows)
    if data.empty:
        return []
    return [
        Picture(
            "splits", "Coupling splits",
            "Every finished trial; the best of each split is large. Trials differ in more than the"
            " split; one part: couplings that never move the first. A click on a dot opens its"
            " run.",
            data, split_comparison_figure, places=("split", "bits_per_dim"), wide=True,
        )
    ]  # fmt: skip


VIEW = figure_view(
    "splits",
    "Coupling splits",
    "Which half does a coupling layer copy, and does it matter?",
    lambda seen: each_group(seen, _pictures),
    "No family was tried with several splits.",
    part="Why",
)
