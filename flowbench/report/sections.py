"""What the report says of one data set: its sentence, leaderboard, figures and samples."""

import base64
import json
import math
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure

from flowbench.compare.frame import Frame, listed
from flowbench.report import static, tables
from flowbench.report.figures import samples
from flowbench.report.figures.learning_curves import learning_curves_data, learning_curves_figure
from flowbench.report.figures.likelihood import likelihood_data, likelihood_figure
from flowbench.report.figures.trade_off import trade_off_data, trade_off_figure
from flowbench.report.words import answer
from flowbench.spec.sweep import slug


@dataclass(frozen=True)
class Picture:
    """One figure of the page: live where there is a Plotly figure, still elsewhere."""

    name: str
    """Fit for a file name."""
    title: str
    caption: str
    data: pd.DataFrame
    """The tidy table that it draws."""
    still: Figure
    live: go.Figure
    wide: bool = False

    @cached_property
    def svg(self) -> bytes:
        """The still figure as SVG; drawing it takes a second, so it is drawn once."""
        return static.svg(self.still)


@dataclass(frozen=True)
class Section:
    """One data set, prepared in one way."""

    id: str
    """Fit for a file name and an address."""
    data: str
    answer: str
    facts: tuple[str, ...]
    leaderboard: tables.Table
    paper: tables.Table
    """The leaderboard in few enough columns for a printed page."""
    pictures: tuple[Picture, ...]
    panels: tuple[samples.Panel, ...]
    panels_note: str


def section(frame: Frame, rows: pd.DataFrame, number: int) -> Section:
    """Build the section of one data set from its rows of the leaderboard."""
    data = str(rows["data"].iloc[0])
    split = "test" if (rows["split"] == "test").any() else "val"
    baselines = frame.baselines(data, split, float(rows["dimensions"].iloc[0]))
    panels, note = _panels(frame, rows)
    return Section(
        id=f"{number}-{slug(data)}",
        data=data,
        answer=answer(rows),
        facts=_facts(frame, rows, baselines),
        leaderboard=tables.leaderboard(rows),
        paper=tables.leaderboard(rows, compact=True),
        pictures=tuple(_pictures(frame, rows, baselines)),
        panels=tuple(panels),
        panels_note=note,
    )


def _pictures(frame: Frame, rows: pd.DataFrame, baselines: dict[str, float]) -> list[Picture]:
    likelihood = likelihood_data(rows)
    trade_off = trade_off_data(rows)
    curves = learning_curves_data(frame, rows)
    made = [
        Picture(
            "likelihood", "How well it models the data",
            "Bars are two standard errors to each side. "
            + ("More is better." if likelihood["measure"].iloc[0] == "gain" else "Less is better."),
            likelihood, static.likelihood_static(likelihood, baselines),
            likelihood_figure(likelihood, baselines),
        )
    ]  # fmt: skip
    if len(trade_off):
        made.append(Picture(
            "trade-off", "Likelihood against sampling speed",
            "Colour is the largest inversion error; dark is more exact. The dashed line joins the"
            " Pareto front: no other family is better in both.",
            trade_off, static.trade_off_static(trade_off), trade_off_figure(trade_off),
        ))  # fmt: skip
    if len(curves):
        made.append(Picture(
            "curves", "Learning curves",
            "Validation bits/dim of the runs that the leaderboard quotes, one line a seed.",
            curves, static.learning_curves_static(curves), learning_curves_figure(curves),
            wide=True,
        ))  # fmt: skip
    return made


def _panels(frame: Frame, rows: pd.DataFrame) -> tuple[list[samples.Panel], str]:
    """Draw samples of the first quoted run of each family that kept any."""
    real, drawn = None, {}
    for row in rows.to_dict("records"):
        found = next((s for run in row["run_ids"] if (s := frame.samples(run)) is not None), None)
        if (
            found is not None
            and found[0].shape[1:] == (real if real is not None else found[1]).shape[1:]
        ):
            drawn[row["family"]] = found[0]
            real = found[1] if real is None else real
    if real is None:
        return [], ""
    if real.ndim == 2 and real.shape[1] != 2:
        names = listed(_first(rows, frame, "label.columns"))
        more = (
            f" The first {samples.MARGINALS} of {real.shape[1]} columns."
            if (real.shape[1] > samples.MARGINALS)
            else ""
        )
        picture = samples.marginals(real, drawn, names)
        return [samples.Panel("", picture)], "Histogram of the data, and of each family." + more
    return samples.gallery(
        real, drawn
    ), "Unselected samples of one seed each, beside held-out data."


def _facts(frame: Frame, rows: pd.DataFrame, baselines: dict[str, float]) -> tuple[str, ...]:
    dimensions = rows["dimensions"].iloc[0]
    facts = [
        "" if math.isnan(dimensions) else f"{int(dimensions):,} dimensions",
        _preprocessing(rows["preprocess"].iloc[0]),
        f"content {hash_[:12]}" if (hash_ := rows["data_hash"].iloc[0]) else "",
        *(f"{name} {value:.4g} bits/dim" for name, value in baselines.items()),
    ]
    return tuple(fact for fact in facts if fact)


def _preprocessing(words: str) -> str:
    """Write the preprocessing's steps, `logit (lam 0.01), standardise`."""
    try:
        steps = json.loads(words)
        parts = [
            " ".join([str(step["name"]), *(
                f"{key} {value}" for key, value in step.items() if isinstance(value, int | float)
            )])
            for step in steps
        ]  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError):
        return f"preprocessing {words}" if words else ""
    return f"preprocessing {', '.join(parts)}" if parts else "no preprocessing"


def _first(rows: pd.DataFrame, frame: Frame, column: str) -> str:
    run = rows["run_ids"].iloc[0][0]
    return str(frame.runs.loc[frame.runs["run"] == run, column].iloc[0])


def data_uri(content: bytes, kind: str) -> str:
    """Return bytes as an address that needs no request."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
