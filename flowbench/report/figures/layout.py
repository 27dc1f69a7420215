"""What all figures share: names as text, error bars, colour bars and the look of the page."""

import html

import numpy as np
import pandas as pd
import plotly.graph_objects as go

LONGEST = 28
"""Letters of a name that fit beside a point."""
SMALLEST = 1e-16
"""Inversion errors below this are drawn as this: zero has no place on a logarithmic scale."""
MEASURES = {"bits_per_dim": "bits per dimension", "gain": "gain over the Gaussian (bits/dim)"}
"""What an axis says of the measure by which a leaderboard is ranked."""


def text(words: str, longest: int = LONGEST) -> str:
    """Return words for Plotly, which reads `<b>` as markup and `$` as TeX; long ones are cut."""
    words = words if len(words) <= longest else words[: longest - 1] + "…"
    return html.escape(words, quote=False).replace("$", "&#36;")


def two_errors(se: float) -> float:
    """Return the half-length of an error bar: two standard errors."""
    return 0.0 if np.isnan(se) else 2 * float(se)


def powers_of_ten(exponents: pd.Series) -> dict[str, object]:
    """Return a colour bar for logarithms to base ten of inversion errors."""
    known = exponents.dropna()
    ticks = (
        list(range(int(np.floor(known.min())), int(np.ceil(known.max())) + 1)) if len(known) else []
    )
    return {
        "title": {"text": "inversion error", "side": "right", "font": {"size": 13}},
        "tickvals": ticks, "ticktext": [f"10<sup>{t}</sup>" for t in ticks],
        "thickness": 12, "outlinewidth": 0,
    }  # fmt: skip


def finished(figure: go.Figure, height: int, *, legend: bool = True) -> go.Figure:
    """Lay a figure out; ink and lines take their colours from the page, light or dark."""
    figure.update_layout(
        template="none", height=height, showlegend=legend, paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)", margin={"l": 80, "r": 20, "t": 55, "b": 50},
        font={"family": "system-ui, sans-serif", "size": 13},
        xaxis_title_font_size=13, yaxis_title_font_size=13,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )  # fmt: skip
    figure.update_xaxes(showgrid=True, zeroline=False, automargin=True)
    figure.update_yaxes(showgrid=True, zeroline=False, automargin=True)
    return figure


def powers(axis: str = "") -> dict[str, object]:
    """Return a logarithmic axis that names powers of ten only.

    Args:
        axis: its title.
    """
    return {
        "title": axis, "type": "log", "dtick": 1, "exponentformat": "power",
        "minor": {"dtick": "D1", "showgrid": False, "ticklen": 3, "ticks": "outside"},
    }  # fmt: skip
