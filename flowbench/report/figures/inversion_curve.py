"""The error of iterative inverses against the number of iterations, with the a-priori bound."""

import pandas as pd
import plotly.graph_objects as go

from flowbench.compare.runs import Frame
from flowbench.report.figures.layout import SMALLEST, finished, powers, text
from flowbench.report.figures.trials import with_parameter
from flowbench.report.measured import measurements
from flowbench.report.theme import looks
from flowbench.spec.metrics import ITERATIONS

CURVE = [f"inversion/iterations/{n}/{which}" for n in ITERATIONS for which in ("max", "median")]


def inversion_curve_data(frame: Frame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return `family iterations max median lipschitz bound` of the runs that are quoted.

    The worst seed's maximum and the seeds' median median. `bound` is L^k / (1 - L): what k
    iterations of a block's fixed point are from its limit at the most, for a first step of length
    one (Banach, 1922); NaN where a family states no Lipschitz constant.

    Args:
        frame: all runs.
        rows: the data set's rows of the leaderboard.
    """
    found = []
    if not any(name in frame.runs for name in CURVE):
        rows = rows.iloc[:0]
    for row in rows.to_dict("records"):
        behind, _ = measurements(frame.runs, row["run_ids"], CURVE)
        stated = with_parameter(frame.runs[frame.runs["run"].isin(row["run_ids"])],
                                "family.lipschitz")  # fmt: skip
        bound = float(stated["lipschitz"].max()) if len(stated) else float("nan")
        for iterations in ITERATIONS:
            name = f"inversion/iterations/{iterations}"
            if f"{name}/max" not in behind or behind[f"{name}/max"].isna().all():
                continue
            found.append({
                "family": row["family"], "iterations": iterations,
                "max": behind[f"{name}/max"].max(), "median": behind[f"{name}/median"].median(),
                "lipschitz": bound, "bound": bound**iterations / (1 - bound),
            })  # fmt: skip
    columns = ["family", "iterations", "max", "median", "lipschitz", "bound"]
    return pd.DataFrame(found, columns=columns)


def inversion_curve_figure(data: pd.DataFrame) -> go.Figure:
    """Draw for each family the largest error, the median, and the a-priori line."""
    figure = go.Figure()
    lines = (("max", "largest", "solid"), ("median", "median", "dash"), ("bound", "", "dot"))
    for family, look in looks(data["family"]).items():
        mine = data[data["family"] == family]
        for column, words, dash in lines:
            shown = mine[mine[column].notna()]
            if shown.empty:
                continue
            bound = f"{family}, L^k/(1-L) for L = {mine['lipschitz'].iloc[0]:.2g}"
            figure.add_trace(go.Scatter(
                x=shown["iterations"], y=shown[column].clip(lower=SMALLEST),
                mode="lines" if column == "bound" else "lines+markers",
                name=text(f"{family}, {words}" if words else bound, longest=60),
                line={"color": look.colour, "dash": dash, "width": 1.6},
                marker={"symbol": look.symbol, "size": 6},
                hovertemplate="%{x} iterations: %{y:.2e}<extra></extra>",
            ))  # fmt: skip
    figure.update_xaxes(
        title="iterations", type="log", tickvals=list(ITERATIONS), ticktext=list(ITERATIONS)
    )
    # Sixteen powers of ten: ticks between them would run into each other and into their names.
    figure.update_yaxes(powers("error of decode(encode(x))"), dtick=2, minor_ticks="")
    return finished(figure, height=420)
