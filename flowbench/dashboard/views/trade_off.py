"""Likelihood, sampling speed and inversion error in one figure."""

import pandas as pd

from flowbench.dashboard.picture import Picture
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import each_group, figure_view
from flowbench.report.figures.likelihood import likelihood_data, likelihood_figure
from flowbench.report.figures.trade_off import trade_off_data, trade_off_figure


def _pictures(seen: Seen, rows: pd.DataFrame) -> list[Picture]:
    likelihood, trade_off = likelihood_data(rows), trade_off_data(rows)
    split = "test" if (rows["split"] == "test").any() else "val"
    data, dimensions = str(rows["data"].iloc[0]), float(rows["dimensions"].iloc[0])
    baselines = seen.frame.baselines(data, split, dimensions)
    found = []
    if len(trade_off):
        found.append(Picture(
            "trade-off", "Likelihood against sampling speed",
            "Colour is the largest inversion error; dark is more exact. The dashed line joins the"
            " Pareto front. A click on a point opens its run.",
            trade_off, trade_off_figure, places=("speed", "value"),
        ))  # fmt: skip
    found.append(Picture(
        "likelihood", "How well it models the data",
        "Bars are two standard errors to each side. "
        + ("More is better." if likelihood["measure"].iloc[0] == "gain" else "Less is better."),
        likelihood, lambda data: likelihood_figure(data, baselines),
    ))  # fmt: skip
    return found


VIEW = figure_view(
    "trade-off",
    "Trade-off",
    "Which family models the data best, which samples fastest, which inverts most exactly?",
    lambda seen: each_group(seen, _pictures),
    "No family has finished yet.",
    part="Compare",
)
