"""Average ranks over the data sets, with bars that join families that are not told apart."""

import math

import pandas as pd
import plotly.graph_objects as go

from flowbench.compare.ranks import Ranks
from flowbench.report.figures.layout import finished, text
from flowbench.report.theme import Look, looks

BAR, LINE = 0.22, 0.5
"""Heights that a bar and a name take under the axis."""


def critical_difference_data(ranks: Ranks) -> pd.DataFrame:
    """Return `family average_rank data_sets critical_difference groups`, the best first.

    `groups` are the numbers of the bars that a family is under: two families that share one are
    not told apart.

    Args:
        ranks: from `compare.ranks.average_ranks`.
    """
    under = [
        " ".join(str(i) for i, group in enumerate(ranks.groups, 1) if family in group)
        for family in ranks.families
    ]
    return ranks.table.assign(critical_difference=ranks.critical_difference, groups=under)


def critical_difference_figure(data: pd.DataFrame) -> go.Figure:
    """Draw the ranks on one axis, names to both sides, bars beneath, and the difference's length.

    After Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006.
    """
    figure = go.Figure()
    count = len(data)
    left = (count + 1) // 2
    bars = sorted({number for words in data["groups"] for number in words.split()}, key=int)
    under = BAR * (len(bars) + 1)
    for i, (family, look) in enumerate(looks_in_order(data)):
        rank = float(data["average_rank"].iloc[i])
        depth = -under - LINE * (i if i < left else count - 1 - i)
        edge = 0.6 if i < left else count + 0.4
        figure.add_trace(go.Scatter(
            x=[rank, rank, edge], y=[0, depth, depth], mode="lines+markers", showlegend=False,
            line={"color": look.colour, "width": 1.4}, name=text(family),
            marker={"symbol": look.symbol, "size": [10, 0, 0], "color": look.colour},
            hovertemplate=f"{text(family)}: {rank:.2f}<extra></extra>",
        ))  # fmt: skip
        figure.add_annotation(
            x=edge, y=depth, text=f"{text(family)} {rank:.2f}", showarrow=False, yshift=9,
            xanchor="left" if i < left else "right",
        )  # fmt: skip
    for place, bar in enumerate(bars, 1):
        mine = data[[bar in words.split() for words in data["groups"]]]["average_rank"]
        figure.add_trace(go.Scatter(
            x=[mine.min() - 0.04, mine.max() + 0.04], y=[-BAR * place] * 2, mode="lines",
            line={"color": "#808890", "width": 5}, showlegend=False, hoverinfo="skip",
            name="not told apart",
        ))  # fmt: skip
    critical = float(data["critical_difference"].iloc[0])
    if not math.isnan(critical):
        figure.add_trace(go.Scatter(
            x=[1, 1 + critical], y=[0.55, 0.55], mode="lines+markers", showlegend=False,
            line={"color": "#808890"}, marker={"symbol": "line-ns-open", "size": 9},
            name="critical difference", hoverinfo="skip",
        ))  # fmt: skip
        figure.add_annotation(
            x=1 + critical / 2, y=0.55, yshift=10, text=f"critical difference {critical:.2f}",
            showarrow=False,
        )  # fmt: skip
    low = -under - LINE * left
    figure.update_xaxes(
        range=[0.5, count + 0.5], tickvals=list(range(1, count + 1)), title="average rank",
        side="top",
    )  # fmt: skip
    figure.update_yaxes(visible=False, range=[low, 1.1])
    finished(figure, height=150 + round(60 * (1.1 - low)), legend=False)
    return figure.update_xaxes(showgrid=False)


def looks_in_order(data: pd.DataFrame) -> list[tuple[str, Look]]:
    """Return each family with its look, the best rank first."""
    known = looks(data["family"])
    return [(family, known[family]) for family in data["family"]]
