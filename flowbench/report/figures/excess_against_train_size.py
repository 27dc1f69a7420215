"""The exact excess over the entropy against the size of the training set."""

import pandas as pd
import plotly.graph_objects as go

from flowbench.report.figures.layout import finished, powers, text, two_errors
from flowbench.report.theme import looks

SIZE = "param.data.train_size"
NAME = "param.data.name"


def excess_against_train_size_data(runs: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return `density family train_size excess se split`: what the leaderboards quote.

    Each training size of a density has a leaderboard of its own. Sizes are numbers of rows where
    any is given so; else shares of the training split, the whole of it being 1.

    Args:
        runs: all runs.
        table: the whole leaderboard.
    """
    columns = ["density", "family", "train_size", "excess", "se", "split"]
    if "excess" not in table or SIZE not in runs:
        return pd.DataFrame(columns=columns)
    rows = table[table["excess"].notna()]
    quoted = runs.drop_duplicates("run", keep="last").set_index("run")
    first = [ids[0] for ids in rows["run_ids"]]
    data = pd.DataFrame({
        "density": quoted.reindex(first)[NAME].to_numpy(), "family": rows["family"].to_numpy(),
        "train_size": pd.to_numeric(quoted.reindex(first)[SIZE]).to_numpy(),
        "excess": rows["excess"].to_numpy(), "se": rows["excess_se"].to_numpy(),
        "split": rows["split"].to_numpy(),
    })  # fmt: skip
    rows_given = data["train_size"] > 1
    if rows_given.any():
        data = data[rows_given]
    else:
        data = data.assign(train_size=data["train_size"].fillna(1.0))
    sizes = data.groupby(["density", "family"])["train_size"].transform("nunique")
    ordered = data[sizes > 1].sort_values(["density", "family", "train_size"], ignore_index=True)
    return ordered[columns]


def excess_against_train_size_figure(data: pd.DataFrame) -> go.Figure:
    """Draw a line a family and density; both axes logarithmic."""
    figure = go.Figure()
    dashes = dict(zip(sorted(set(data["density"])), ("solid", "dot", "dash") * 9, strict=False))
    for family, look in looks(data["family"]).items():
        for density, dash in dashes.items():
            mine = data[(data["family"] == family) & (data["density"] == density)]
            if mine.empty:
                continue
            name = text(family if len(dashes) == 1 else f"{family}, {density}")
            figure.add_trace(go.Scatter(
                x=mine["train_size"], y=mine["excess"], mode="lines+markers", name=name,
                error_y={"type": "data", "array": mine["se"].map(two_errors), "thickness": 1.2},
                line={"color": look.colour, "width": 1.6, "dash": dash},
                marker={"color": look.colour, "symbol": look.symbol, "size": 8},
                hovertemplate="%{x:,}: %{y:.4f} nats<extra></extra>",
            ))  # fmt: skip
    unit = "share of the training split" if (data["train_size"] <= 1).any() else "training points"
    sizes = sorted(set(data["train_size"]))
    figure.update_xaxes(
        title=unit, type="log", tickvals=sizes, ticktext=[f"{size:,.4g}" for size in sizes]
    )
    figure.update_yaxes(powers("excess over the entropy (nats)"))
    return finished(figure, height=400)
