"""What each family generates, beside the data: image grids, scatter plots, marginals."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from flowbench.report.static import STYLE, plain, png
from flowbench.report.theme import REAL, looks

Array = NDArray[np.float64]

ACROSS, DOWN = 8, 4
MARGINALS = 8
"""Columns of a table that are drawn; more would be too small to read."""


@dataclass(frozen=True)
class Panel:
    """One picture of a gallery."""

    name: str
    image: bytes
    """PNG."""


def gallery(real: Array, samples: Mapping[str, Array]) -> list[Panel]:
    """Draw the data and each family's samples in the same way.

    Args:
        real: held-out points in data units, `(n, *event_shape)`.
        samples: family -> its samples, `(n, *event_shape)`.

    Returns:
        A panel for the data and one for each family; for tables of more than two columns a single
        panel of marginals.
    """
    if real.ndim == 4:
        top = float(np.nanmax(real))
        return [Panel(name, grid(x, top)) for name, x in _named(real, samples)]
    if real.shape[1] == 2:
        low, high = np.quantile(real, 0.002, axis=0), np.quantile(real, 0.998, axis=0)
        pad = 0.15 * (high - low)
        box = (low - pad, high + pad)
        colours = {family: look.colour for family, look in looks(samples).items()}
        return [
            Panel(name, _scatter(x, box, colours.get(name, REAL)))
            for name, x in _named(real, samples)
        ]
    return []


def grid(images: Array, top: float) -> bytes:
    """Lay the first images out in a grid, `(n, C, H, W)` with values in [0, top], as PNG."""
    shown = np.clip(np.nan_to_num(images[: ACROSS * DOWN]) / max(top, 1e-12), 0, 1)
    channels, height, width = shown.shape[1:]
    sheet = np.ones((DOWN * (height + 1) - 1, ACROSS * (width + 1) - 1, 3))
    for i, image in enumerate(shown):
        y, x = (i // ACROSS) * (height + 1), (i % ACROSS) * (width + 1)
        sheet[y : y + height, x : x + width] = np.moveaxis(
            np.broadcast_to(image, (3, height, width)) if channels == 1 else image[:3], 0, -1
        )
    picture = Image.fromarray(np.round(255 * sheet).astype(np.uint8))
    # Small images are enlarged without smoothing: what is seen are the model's own pixels.
    scale = max(1, 480 // sheet.shape[1])
    picture = picture.resize(
        (sheet.shape[1] * scale, sheet.shape[0] * scale), Image.Resampling.NEAREST
    )
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def marginals(real: Array, samples: Mapping[str, Array], columns: Sequence[str]) -> bytes:
    """Draw the histogram of each column of the data, and each family's as a line over it, PNG.

    Args:
        real: `(n, D)`.
        samples: family -> `(m, D)`.
        columns: names of the D columns; numbered where there are none.
    """
    shown = min(real.shape[1], MARGINALS)
    across = min(shown, 4)
    down = -(-shown // across)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.6 * across, 2.0 * down + 0.4), layout="constrained")
        for i in range(shown):
            axes = figure.add_subplot(down, across, i + 1)
            low, high = np.quantile(real[:, i], [0.005, 0.995])
            bins = np.linspace(low, high + 1e-12, 31).tolist()
            axes.hist(real[:, i], bins, density=True, color=REAL, alpha=0.35, label="data")
            for family, look in looks(samples).items():
                finite = samples[family][:, i][np.isfinite(samples[family][:, i])]
                axes.hist(
                    finite, bins, density=True, histtype="step", color=look.colour,
                    linewidth=1.2, label=plain(family),
                )  # fmt: skip
            axes.set_title(plain(columns[i] if i < len(columns) else f"x{i + 1}"), fontsize=8)
            axes.set_yticks([])
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=len(labels), frameon=False,
            fontsize=8,
        )  # fmt: skip
    return png(figure)


def _named(real: Array, samples: Mapping[str, Array]) -> list[tuple[str, Array]]:
    return [("data", real), *((family, samples[family]) for family in looks(samples))]


def _scatter(points: Array, box: tuple[Array, Array], colour: str) -> bytes:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.4, 2.4))
        axes = figure.add_axes((0, 0, 1, 1))
        size = 3 if len(points) > 300 else 9
        axes.scatter(points[:, 0], points[:, 1], s=size, color=colour, alpha=0.6, linewidths=0)
        axes.set_xlim(box[0][0], box[1][0])
        axes.set_ylim(box[0][1], box[1][1])
        axes.axis("off")
    return png(figure)
