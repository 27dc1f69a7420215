"""Sampling time against the number of dimensions, over all data sets."""

import pandas as pd
import plotly.graph_objects as go

from flowbench.compare.comparable import common_batch
from flowbench.report.figures.layout import finished, powers, text
from flowbench.report.theme import looks


def sampling_against_dimension_data(table: pd.DataFrame) -> pd.DataFrame:
    """Return `family data dimensions batch device ms_per_sample`, of one device and one batch.

    Speeds of different devices are never drawn together: the device that timed most is kept.

    Args:
        table: the whole leaderboard.
    """
    columns = ["family", "data", "dimensions", "batch", "device", "ms_per_sample"]
    batch = common_batch(table) if "speed_device" in table else None
    if batch is None:
        return pd.DataFrame(columns=columns)
    timed = table[table[f"speed_b{batch}"].notna() & table["dimensions"].notna()]
    device = timed["speed_device"].mode()
    timed = timed[timed["speed_device"].isin(device.iloc[:1])]
    data = timed[["family", "data", "dimensions"]].assign(
        batch=batch, device=timed["speed_device"], ms_per_sample=1e3 / timed[f"speed_b{batch}"]
    )
    return data.sort_values(["family", "dimensions", "data"], ignore_index=True)[columns]


def sampling_against_dimension_figure(data: pd.DataFrame) -> go.Figure:
    """Draw a line a family, both axes logarithmic."""
    figure = go.Figure()
    for family, look in looks(data["family"]).items():
        mine = data[data["family"] == family]
        figure.add_trace(go.Scatter(
            x=mine["dimensions"], y=mine["ms_per_sample"], mode="lines+markers", name=text(family),
            line={"color": look.colour, "width": 1.6},
            marker={"color": look.colour, "symbol": look.symbol, "size": 8},
            customdata=mine[["data"]].map(text).to_numpy(),
            hovertemplate="%{customdata[0]}, D = %{x:,}: %{y:.3g} ms<extra></extra>",
        ))  # fmt: skip
    sizes = sorted(set(data["dimensions"]))
    figure.update_xaxes(
        title="dimensions D", type="log", tickvals=sizes, ticktext=[f"{d:,.0f}" for d in sizes]
    )
    batch = int(data["batch"].iloc[0])
    figure.update_yaxes(powers(f"ms a sample at batch {batch:,}"))
    return finished(figure, height=400)
