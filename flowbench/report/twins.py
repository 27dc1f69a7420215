"""The report for papers and programs: Markdown, LaTeX, CSV and pictures."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from flowbench.compare.render import as_csv, no_formula
from flowbench.report import static, tables
from flowbench.report.contents import Contents
from flowbench.run_directory import write_atomically


def texts(made: Contents) -> Iterator[tuple[str, str]]:
    """Yield the name and the content of each text beside `index.html`."""
    yield "leaderboard.md", _markdown(made)
    yield "measures.md", _measures_markdown(made)
    needs = "% needs \\usepackage{booktabs}\n"
    boards = [tables.latex(s.paper, f"{s.data}. {s.statements[0]}") for s in made.sections]
    yield "leaderboard.tex", needs + "\n".join(boards)
    measures = [
        tables.latex(t.table, f"{s.data}. {t.title}. {t.note}")
        for s in made.sections
        for t in s.tables
    ]
    yield "measures.tex", needs + "\n".join(measures)
    for name, frame in made.numbers().items():
        yield f"{name}.csv", as_csv(frame) if "run_ids" in frame else _csv(frame)


def _csv(frame: pd.DataFrame) -> str:
    """Return a table as CSV in full precision."""
    words = frame.select_dtypes(exclude=["number", "bool"]).columns
    return frame.assign(**{name: frame[name].map(no_formula) for name in words}).to_csv(index=False)


def write_pictures(made: Contents, out: Path) -> None:
    """Write the figures that paper has of its own as SVG and PNG."""
    for name, picture in made.pictures().items():
        if picture.still is not None:
            stem = out / "figures" / name
            write_atomically(stem.with_suffix(".svg"), picture.svg.decode())
            stem.with_suffix(".png").write_bytes(static.png(picture.still))


def _markdown(made: Contents) -> str:
    text = tables.markdown_text
    parts = [f"# {text(made.title)}\n"]
    for part in made.sections:
        said = "".join(f"- {text(statement)}\n" for statement in part.statements)
        parts += [f"## {text(part.data)}\n", said, tables.markdown(part.leaderboard)]
    if made.ranks:
        parts += ["## Across data sets\n", f"{text(made.ranks)}\n"]
    for title, found in (
        ("What is wrong with some models", made.findings),
        ("Read this with the numbers", made.flags),
    ):
        if found:
            lines = [f"- **{text(f.data)}** {text(f.sentence)}\n" for f in found]
            parts += [f"## {title}\n", "".join(lines)]
    return "\n".join(parts)


def _measures_markdown(made: Contents) -> str:
    text = tables.markdown_text
    parts = [f"# {text(made.title)}: all measures\n"]
    for part in made.sections:
        parts += [f"## {text(part.data)}\n"]
        for titled in part.tables:
            parts += [f"### {titled.title}\n", f"{text(titled.note)}\n"]
            parts += [tables.markdown(titled.table)]
    return "\n".join(parts)
