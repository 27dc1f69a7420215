"""The report: one HTML file that opens offline, and its twins for paper and programs."""

import json
import re
from pathlib import Path
from typing import Any

import plotly.io
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from flowbench.report.contents import Contents, contents
from flowbench.report.pictures import Picture
from flowbench.report.sections import Section, data_uri
from flowbench.report.theme import looks
from flowbench.report.twins import texts, write_pictures
from flowbench.run_directory import home, write_atomically
from flowbench.spec.sweep import slug

PAGE = "index.html"
HALF_A_PAGE = 5
"""Columns of a table that stands in for a figure in half of a page's width."""
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def write_report(tracking_uri: str, sweep: str | None = None, out: Path | None = None) -> Path:
    """Write the report of a sweep, or of all runs of the record.

    Beside `index.html`: `leaderboard.md`, `.tex` and `.csv`, `measures.md` and `.tex`, `tables/`
    with every other table as CSV, and `figures/` with the table that each figure draws as CSV and
    those for paper as SVG and PNG.

    Args:
        tracking_uri: the record's address; nothing else is read.
        sweep: a sweep's name; None for all runs.
        out: where to write; by default `reports/<sweep>` under the home directory.

    Returns:
        The path of `index.html`.

    Raises:
        InputError: if the record has no such runs.
    """
    made = contents(tracking_uri, sweep)
    out = report_directory(sweep) if out is None else out
    write_atomically(out / PAGE, html(made))
    for name, text in texts(made):
        write_atomically(out / name, text)
    write_pictures(made, out)
    return out / PAGE


def report_directory(sweep: str | None) -> Path:
    """Return where the report of a sweep, or of all runs, lies by default."""
    return home() / "reports" / (slug(sweep) if sweep else "all")


def html(made: Contents) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("flowbench.report"), undefined=StrictUndefined,
        autoescape=select_autoescape(["html.j2"]), trim_blocks=True,
    )  # fmt: skip
    families = looks(made.frame.runs["family"])
    plots = {
        name: json.loads(plotly.io.to_json(picture.live))
        for name, picture in made.pictures().items()
    }
    return environment.get_template("report.html.j2").render(
        made=made,
        shown=made.shown(),
        overview=[_view("overview", picture) for picture in made.overview],
        sections=[_section(part) for part in made.sections],
        colours={family: look.colour for family, look in families.items()},
        plots=_json(plots) if plots else "",
        plotly_js=_plotly() if plots else "",
    )


def _section(part: Section) -> dict[str, Any]:
    """Return a section as the template reads it, its pictures inside their addresses."""
    panels = [{"name": p.name, "image": data_uri(p.image, "image/png")} for p in part.panels]
    views = [_view(part.id, picture) for picture in part.pictures]
    return {**vars(part), "pictures": views, "panels": panels}


def _view(section: str, picture: Picture) -> dict[str, Any]:
    return {
        "id": f"{section}-{picture.name}", "title": picture.title, "caption": picture.caption,
        "wide": picture.wide, "height": picture.live.layout.height,
        "tabled": picture.still is None and len(picture.data.columns) > HALF_A_PAGE,
        "image": data_uri(picture.svg, "image/svg+xml") if picture.still is not None else "",
    }  # fmt: skip


def _plotly() -> Markup:
    """Return Plotly's own script, which makes no request.

    Control characters in its texts, which HTML forbids, are written as JavaScript's escapes.
    """
    script = CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", get_plotlyjs())
    return Markup(script)  # noqa: S704 - the library's own file


def _json(plots: dict[str, Any]) -> Markup:
    """Return JSON that no text within it can end the script element of."""
    text = json.dumps(plots, separators=(",", ":"))
    escaped = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(escaped)  # noqa: S704 - escaped in the line above
