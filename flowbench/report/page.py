"""The report: one HTML file that opens offline, and its twins for paper and programs."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.io
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from flowbench.compare.fairness import Flag, flags
from flowbench.compare.frame import PROTOCOL, Frame, load
from flowbench.compare.leaderboard import leaderboard_table
from flowbench.compare.render import as_csv
from flowbench.report import static, tables
from flowbench.report.ledger import failures, failures_note, protocol, provenance
from flowbench.report.sections import Section, data_uri, section
from flowbench.report.theme import looks
from flowbench.run_directory import home, write_atomically


def write_report(tracking_uri: str, sweep: str | None = None, out: Path | None = None) -> Path:
    """Write the report of a sweep, or of all runs of the record.

    Beside `index.html`: `leaderboard.md`, `.tex` and `.csv`, and `figures/` with each figure as
    SVG and PNG and the table it draws as CSV.

    Args:
        tracking_uri: the record's address; nothing else is read.
        sweep: a sweep's name; None for all runs.
        out: where to write; by default `reports/<sweep>` under the home directory.

    Returns:
        The path of `index.html`.

    Raises:
        InputError: if the record has no such runs.
    """
    frame = load(tracking_uri, sweep)
    table = leaderboard_table(frame)
    out = home() / "reports" / (sweep or "all") if out is None else out
    groups = table.groupby(PROTOCOL, sort=True)
    sections = [section(frame, rows, i) for i, (_, rows) in enumerate(groups, 1)]
    found = flags(frame, table)
    title = sweep or "All runs"
    write_atomically(out / "index.html", _html(title, frame, table, sections, found))
    write_atomically(out / "leaderboard.md", _markdown(title, sections, found))
    write_atomically(
        out / "leaderboard.tex",
        "% needs \\usepackage{booktabs}\n"
        + "\n".join(tables.latex(s.paper, f"{s.data}. {s.answer}") for s in sections),
    )
    write_atomically(out / "leaderboard.csv", as_csv(table))
    for part in sections:
        for picture in part.pictures:
            stem = out / "figures" / f"{part.id}-{picture.name}"
            write_atomically(stem.with_suffix(".csv"), picture.data.to_csv(index=False))
            stem.with_suffix(".svg").write_bytes(picture.svg)
            stem.with_suffix(".png").write_bytes(static.png(picture.still))
    return out / "index.html"


def _html(
    title: str, frame: Frame, table: pd.DataFrame, sections: list[Section], found: list[Flag]
) -> str:
    environment = Environment(
        loader=PackageLoader("flowbench.report"), undefined=StrictUndefined,
        autoescape=select_autoescape(["html.j2"]), trim_blocks=True,
    )  # fmt: skip
    families = looks(table["family"]) if len(table) else {}
    plots = {
        f"{part.id}-{picture.name}": json.loads(plotly.io.to_json(picture.live))
        for part in sections
        for picture in part.pictures
    }
    return environment.get_template("report.html.j2").render(
        title=title,
        facts=_facts(frame, sections),
        sections=[_view(part) for part in sections],
        flags=found,
        failures=tables.plain(failures(frame)),
        failures_note=failures_note(frame),
        protocol=protocol(table),
        provenance=tables.plain(provenance(frame, table)),
        colours={family: look.colour for family, look in families.items()},
        plots=_json(plots) if plots else "",
        # Plotly's own script, once; it makes no request.
        plotly_js=Markup(get_plotlyjs()) if plots else "",  # noqa: S704 - the library's own file
    )


def _view(part: Section) -> dict[str, Any]:
    """Return a section as the template reads it, its pictures inside their addresses."""
    views = [
        {
            "id": f"{part.id}-{picture.name}", "title": picture.title, "caption": picture.caption,
            "wide": picture.wide, "height": picture.live.layout.height,
            "image": data_uri(picture.svg, "image/svg+xml"),
        }
        for picture in part.pictures
    ]  # fmt: skip
    panels = [{"name": p.name, "image": data_uri(p.image, "image/png")} for p in part.panels]
    return {**vars(part), "pictures": views, "panels": panels}


def _json(plots: dict[str, Any]) -> Markup:
    """Return JSON that no text within it can end the script element of."""
    text = json.dumps(plots, separators=(",", ":"))
    escaped = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(escaped)  # noqa: S704 - escaped in the line above


def _facts(frame: Frame, sections: list[Section]) -> list[str]:
    runs = frame.runs
    devices = sorted(set(runs["device"]) - {""})
    return [
        _counted(len(runs), "run"),
        _counted(runs["family"].nunique(), "family"),
        _counted(runs["data"].nunique(), "data set"),
        *([", ".join(devices)] if devices else []),
        f"{runs['started'].max():%d %B %Y}",
    ]


def _counted(count: int, noun: str) -> str:
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + "s"
    return f"{count:,} {noun if count == 1 else plural}"


def _markdown(title: str, sections: list[Section], found: list[Flag]) -> str:
    text = tables.markdown_text
    parts = [f"# {text(title)}\n"]
    for part in sections:
        parts += [f"## {text(part.data)}\n", f"{text(part.answer)}\n"]
        parts += [tables.markdown(part.leaderboard)]
    if found:
        parts += ["## Read this with the numbers\n"]
        parts += ["".join(f"- **{text(f.data)}** {text(f.sentence)}\n" for f in found)]
    return "\n".join(parts)
