"""Colours and marks: a family looks the same in every figure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """How a family is drawn; the mark tells families apart where colour does not."""

    colour: str
    symbol: str
    """Plotly's name of the mark."""
    marker: str
    """Matplotlib's name of the same mark."""


# Okabe and Ito's palette (2008), told apart under every common colour blindness; its yellow is
# left out: it vanishes on white paper.
FAMILIES = {
    "nice": Look("#E69F00", "square", "s"),
    "realnvp": Look("#D55E00", "circle", "o"),
    "glow": Look("#0072B2", "diamond", "D"),
    "planar": Look("#CC79A7", "triangle-up", "^"),
    "sylvester": Look("#56B4E9", "triangle-down", "v"),
    "residual": Look("#009E73", "hexagon", "h"),
}
OTHERS = (
    Look("#8C6BB1", "star", "*"),
    Look("#7F7F7F", "cross", "P"),
    Look("#A6761D", "pentagon", "p"),
    Look("#666A00", "x", "X"),
)
REAL = "#5B6470"
"""The data themselves, beside what the families make of them."""


def looks(families: Iterable[str]) -> dict[str, Look]:
    """Give each family its look; those without a fixed one take the others in turn."""
    ordered = sorted(set(families), key=order)
    strangers = [family for family in ordered if family not in FAMILIES]
    given = {family: OTHERS[i % len(OTHERS)] for i, family in enumerate(strangers)}
    return {family: FAMILIES.get(family) or given[family] for family in ordered}


def order(family: str) -> tuple[int, str]:
    """Sort key: our families in their usual order, then the others by name."""
    names = list(FAMILIES)
    return (names.index(family) if family in FAMILIES else len(names), family)
