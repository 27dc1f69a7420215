"""Inversion error against iterations, with the a-priori line."""

import pandas as pd

from flowbench.dashboard.picture import Picture
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import each_group, figure_view
from flowbench.report.figures.inversion_curve import inversion_curve_data, inversion_curve_figure

CAPTION = (
    "Every fixed point cut off after so many iterations, in double precision. The dotted line is"
    " the a-priori bound L^k / (1 - L) of one block, for a first step of length one."
)


def _pictures(seen: Seen, rows: pd.DataFrame) -> list[Picture]:
    data = inversion_curve_data(seen.frame, rows)
    if data.empty:
        return []
    return [
        Picture(
            "inversion-curve", "Inversion error against iterations", CAPTION, data,
            inversion_curve_figure, wide=True,
        )
    ]  # fmt: skip


VIEW = figure_view(
    "inversion",
    "Inversion",
    "How many iterations does an iterative inverse need, and does theory bound it?",
    lambda seen: each_group(seen, _pictures),
    "No run with an iterative inverse was measured in full: flowbench evaluate --full RUN.",
    part="Why",
)
