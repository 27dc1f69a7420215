"""Validation bits/dim against the epoch, one line a run."""

import pandas as pd
import plotly.graph_objects as go

from flowbench.compare.runs import Frame
from flowbench.report.figures.layout import finished, text
from flowbench.report.theme import looks


def learning_curves_data(frame: Frame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return validation bits/dim against epoch (`step`) of the runs that are quoted."""
    curves = []
    for row in rows.to_dict("records"):
        for run in row["run_ids"]:
            history = frame.history(run, "val/bits_per_dim")
            curves.append(history.assign(family=row["family"], run=run))
    columns = ["family", "run", "step", "value"]
    return (
        pd.concat(curves, ignore_index=True)[columns] if curves else pd.DataFrame(columns=columns)
    )


def learning_curves_figure(data: pd.DataFrame) -> go.Figure:
    """Draw one line a run, coloured by family."""
    figure = go.Figure()
    for family, look in looks(data["family"]).items():
        mine = data[data["family"] == family]
        for i, (run, curve) in enumerate(mine.groupby("run", sort=False)):
            figure.add_trace(go.Scatter(
                x=curve["step"], y=curve["value"], name=text(family), legendgroup=text(family),
                showlegend=i == 0, mode="lines+markers" if len(curve) < 30 else "lines",
                line={"color": look.colour, "width": 1.8},
                marker={"symbol": look.symbol, "size": 5},
                hovertemplate=text(str(run)) + "<br>%{x}: %{y:.4f}<extra></extra>",
            ))  # fmt: skip
    last_epoch = int(data["step"].max()) if len(data) else 1
    figure.update_xaxes(title="epoch", dtick=max(1, round(last_epoch / 10)))
    figure.update_yaxes(title="validation bits/dim")
    if len(data):
        # A first validation far above the rest would flatten everything that matters.
        last = data.groupby("run")["value"].last()
        low, high = float(data["value"].min()), float(data["value"].quantile(0.95))
        high = max(high, float(last.max()))
        pad = 0.05 * max(high - low, 1e-6)
        figure.update_yaxes(range=[low - pad, high + pad])
    return finished(figure, height=380)
