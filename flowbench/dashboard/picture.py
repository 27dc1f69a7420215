"""A figure of the report as a view shows it: its table, drawn when it is asked for."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from flowbench.report.figures.layout import text


@dataclass(frozen=True)
class Picture:
    """One figure of a view."""

    name: str
    """Fit for a file name; one of its kind in its view."""
    title: str
    caption: str
    data: pd.DataFrame
    """The tidy table that it draws."""
    draw: Callable[[pd.DataFrame], go.Figure]
    places: tuple[str, str] | None = None
    """The columns of `data` that are a point's x and y, where each point is a run that it names."""
    wide: bool = False

    @property
    def figure(self) -> go.Figure:
        return self.draw(self.data)

    def run_at(self, point: Mapping[str, Any]) -> str | None:
        """Return the run behind a point that was clicked, None where there is none.

        Args:
            point: Plotly's description of it, with its `x` and `y`.
        """
        if self.places is None:
            return None
        for row in self.data.to_dict("records"):
            drawn = [row[column] for column in self.places]
            if all(_same(at, place) for at, place in zip(drawn, _spot(point), strict=True)):
                return str(row["run"])
        return None


def _spot(point: Mapping[str, Any]) -> tuple[Any, Any]:
    return point.get("x"), point.get("y")


def _same(value: object, drawn: object) -> bool:
    if isinstance(value, int | float) and isinstance(drawn, int | float):
        return math.isclose(value, drawn, rel_tol=1e-9)
    return text(str(value)) == str(drawn)
