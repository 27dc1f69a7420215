"""The figures for paper and for readers without scripts: Matplotlib, from the same tables."""

import io
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flowbench.report.figures.layout import MEASURES, SMALLEST
from flowbench.report.figures.likelihood import shown_baselines
from flowbench.report.figures.lipschitz_map import lipschitz_ticks, panels
from flowbench.report.figures.trade_off import labels_above
from flowbench.report.figures.trials import gap
from flowbench.report.theme import looks

# A fixed salt and no date: the same numbers give the same file, byte for byte.
STYLE: Any = {
    "svg.hashsalt": "flowbench", "font.family": "sans-serif", "font.size": 9,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#e3e6ea", "grid.linewidth": 0.6, "axes.axisbelow": True,
    "axes.edgecolor": "#808890", "text.usetex": False,
}  # fmt: skip


NO_METADATA = ("Date", "Creator", "Format", "Type")


def likelihood_static(data: pd.DataFrame, baselines: dict[str, float]) -> Figure:
    """Draw `likelihood_data`: one dot a family with two standard errors to each side."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(6.4, 1.0 + 0.32 * len(data))
        for place, row in enumerate(reversed(data.to_dict("records"))):
            look = looks(data["family"])[row["family"]]
            error = 0 if np.isnan(row["se"]) else 2 * row["se"]
            axes.errorbar(
                row["value"], place, xerr=error, fmt=look.marker, color=look.colour, capsize=3
            )
        for i, (name, value) in enumerate(shown_baselines(data, baselines).items()):
            axes.axvline(value, linestyle=":", color="#808890", linewidth=1)
            axes.annotate(
                plain(name), (value, 1.01 + 0.06 * (i % 3)), xycoords=("data", "axes fraction"),
                fontsize=7, ha="center",
            )  # fmt: skip
        axes.set_yticks(range(len(data)), [plain(f) for f in reversed(list(data["family"]))])
        axes.set_xlabel(MEASURES[str(data["measure"].iloc[0])])
    return figure


def trade_off_static(data: pd.DataFrame) -> Figure:
    """Draw `trade_off_data`: likelihood against speed, inversion error as colour, the front."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(6.4, 4.0)
        front = data[data["front"]].sort_values("speed")
        axes.plot(front["speed"], front["value"], "--", color="#808890", linewidth=1)
        data = data.assign(inversion=data["inversion"].clip(lower=SMALLEST))
        known = data["inversion"].dropna()
        low, high = (known.min(), known.max()) if len(known) else (1e-7, 1.0)
        norm = LogNorm(low, max(high, low * 10))
        colours = ScalarMappable(norm, "cividis")
        above = labels_above(data)
        for row in data.to_dict("records"):
            look = looks(data["family"])[row["family"]]
            error = row["inversion"]
            inside = "none" if np.isnan(error) else colours.to_rgba(error)
            axes.plot(
                row["speed"], row["value"], look.marker, markersize=9, markerfacecolor=inside,
                markeredgecolor=look.colour, markeredgewidth=2 if row["front"] else 1,
            )  # fmt: skip
            axes.annotate(
                plain(row["family"]), (row["speed"], row["value"]), textcoords="offset points",
                xytext=(0, 8 if above[row["family"]] else -15), ha="center", fontsize=8,
            )  # fmt: skip
        axes.set_xscale("log")
        batch = int(data["batch"].iloc[0]) if len(data) else 0
        axes.set_xlabel(f"samples per second at batch {batch:,}")
        axes.set_ylabel(MEASURES[str(data["measure"].iloc[0])] if len(data) else "")
        axes.margins(0.12)
        figure.colorbar(colours, ax=axes, label="inversion error (flow coordinates)")
    return figure


def learning_curves_static(data: pd.DataFrame) -> Figure:
    """Draw `learning_curves_data`: one line a run, coloured by family."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(6.4, 3.6)
        for family, look in looks(data["family"]).items():
            mine = data[data["family"] == family]
            for i, (_, curve) in enumerate(mine.groupby("run", sort=False)):
                label = plain(family) if i == 0 else None
                axes.plot(
                    curve["step"], curve["value"], color=look.colour, linewidth=1.1, label=label
                )
        if len(data):
            last = float(data.groupby("run")["value"].last().max())
            high = max(float(data["value"].quantile(0.95)), last)
            low = float(data["value"].min())
            pad = 0.05 * max(high - low, 1e-6)
            axes.set_ylim(low - pad, high + pad)
            axes.legend(frameon=False, fontsize=8, ncols=2)
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation bits/dim")
    return figure


def lipschitz_map_static(data: pd.DataFrame) -> Figure:
    """Draw `lipschitz_map_data`: a panel a measure, a square a place."""
    drawn = panels(data)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(6.4, 3.4 * len(drawn)), 3.8), layout="constrained")
        rows = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
        places = data["lipschitz"].map(gap)
        ticks = lipschitz_ticks(data)
        for axes, (title, values) in zip(rows, drawn.items(), strict=True):
            squares = axes.scatter(
                places, data["depth"], c=values, cmap="viridis", marker="s", s=130,
                edgecolors="#808890", linewidths=0.6,
            )  # fmt: skip
            axes.set_xticks([gap(tick) for tick in ticks], [f"{tick:g}" for tick in ticks])
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlabel("Lipschitz bound L of a block")
            axes.margins(0.08)
            figure.colorbar(squares, ax=axes, label=title, location="top")
        rows[0].set_ylabel("depth (blocks)")
    return figure


def svg(figure: Figure) -> bytes:
    """Return a figure as SVG."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(NO_METADATA))
    return buffer.getvalue()


def png(figure: Figure, dpi: int = 160) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def plain(words: str) -> str:
    """Return words for Matplotlib, which would read `$` in them as mathematics."""
    return words.replace("$", r"\$")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()
