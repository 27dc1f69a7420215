"""The parts that views are put together from: cards, figures, tables, facts."""

from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from flowbench.dashboard.address import Address
from flowbench.dashboard.export import report_href, table_href
from flowbench.dashboard.picture import Picture
from flowbench.dashboard.record import Record
from flowbench.report.figures.samples import Panel
from flowbench.report.sections import data_uri
from flowbench.report.tables import Table, Titled
from flowbench.report.theme import looks

GRAPH: Any = {"displaylogo": False, "displayModeBar": False, "responsive": True}


def page(title: str, question: str, *children: Component | None) -> Component:
    """Return a view: its title, what it answers, and what it shows."""
    shown = [child for child in children if child is not None]
    return html.Div(
        [html.H1(title), html.P(question, className="question"), *shown], className="page"
    )


def nothing(sentence: str) -> Component:
    """Say why there is nothing to see."""
    return html.P(sentence, className="nothing")


def note(sentence: str) -> Component:
    """Say something by the way."""
    return html.P(sentence, className="note")


def card(title: str, *children: Component) -> Component:
    """Return a titled box."""
    return html.Section([html.H2(title), *children], className="card")


def figure(picture: Picture, address: Address) -> Component:
    """Return a figure with its caption, and its exports as PNG and CSV."""
    figure = picture.figure
    # What a person has zoomed into stays when a new run comes in.
    figure.update_layout(uirevision=address.search or "all", autosize=True)
    place = {"figure": picture.name, "links": bool(picture.places)}
    return html.Figure(
        [
            html.H2(picture.title),
            dcc.Graph(
                id=place, figure=figure, config=GRAPH, responsive=True,
                style={"height": f"{figure.layout.height}px"},
            ),
            html.Figcaption(picture.caption),
            html.P(
                [
                    html.Button("PNG", className="export", **_data(png=picture.name)),
                    html.A("CSV", href=table_href(address, picture.name), className="export"),
                ],
                className="exports",
            ),
        ],
        className="card wide" if picture.wide else "card",
    )  # fmt: skip


def figures(pictures: Sequence[Picture], address: Address) -> Component:
    """Return figures side by side where there is room."""
    return html.Div([figure(picture, address) for picture in pictures], className="figures")


def report_link(address: Address) -> Component:
    """Return a link to the report, which takes some seconds to be made."""
    return html.A(
        "Report", href=report_href(address), className="export",
        **_data(waits="making the report …"),
        title="all data sets and families of the chosen sweep, as flowbench report writes it",
    )  # fmt: skip


def facts(words: Mapping[str, Any]) -> Component:
    """Return names and what they are; what is empty is left out."""
    return html.Dl(
        [
            part
            for name, value in words.items()
            if value not in ("", None)
            for part in (html.Dt(name), html.Dd(value))
        ]
    )


def table(content: Table, links: Mapping[str, str] | None = None) -> Component:
    """Return a table of the report.

    Args:
        content: its cells.
        links: text of a cell in the column `run` -> the address that it leads to.
    """
    head = [
        html.Th(title, title=meaning, className="number" if number else "")
        for title, meaning, number in zip(
            content.header, content.meanings, content.numbers, strict=True
        )
    ]
    body = [
        html.Tr([
            html.Td(
                _cell(title, cell.text, links or {}),
                className=("number" if cell.number else "") + (" best" if cell.best else ""),
            )
            for title, cell in zip(content.header, row, strict=True)
        ])
        for row in content.rows
    ]  # fmt: skip
    return html.Div(
        html.Table([html.Thead(html.Tr(head)), html.Tbody(body)]), className="scroll", tabIndex=0
    )


def titled(content: Titled, address: Address, name: str, title: str) -> Component:
    """Return a table of the report under its title, with its CSV.

    Args:
        content: the table.
        address: where it is seen.
        name: of its CSV in this view.
        title: what it is called here.
    """
    link = html.A("CSV", href=table_href(address, name), className="export")
    return card(
        title, table(content.table), html.P(content.note, className="note"),
        html.P(link, className="exports"),
    )  # fmt: skip


def gallery(title: str, panels: Sequence[Panel], note: str) -> Component | None:
    """Return pictures of samples side by side, None where there are none."""
    if not panels:
        return None
    shown = [
        html.Div([
            html.P(panel.name if panel.name in ("", "data") else family(panel.name)),
            html.Img(src=data_uri(panel.image, "image/png"), alt=panel.name or "marginals"),
        ])
        for panel in panels
    ]  # fmt: skip
    return card(title, html.Div(shown, className="panels"), html.P(note, className="note"))


def family(name: str) -> Component:
    """Return a family's name beside its colour."""
    colour = looks([name])[name].colour
    return html.Span([html.I(className="dot", style={"background": colour}), name])


def bar(done: int, total: int, words: str) -> Component:
    """Return how far something is, as a bar with words beneath."""
    return html.Div(
        [
            html.Progress(value=str(done), max=str(max(total, 1))),
            html.P(words, className="note"),
        ],
        className="progress",
    )


def reading(record: Record) -> str:
    """Say how far the first reading of the record is."""
    progress = record.progress
    if not progress.total:
        return "reading the record"
    return f"reading the record: {progress.done:,} of {progress.total:,} runs"


def first_reading(record: Record) -> Component:
    """Return what is shown before the record was read for the first time."""
    progress = record.progress
    if progress.trouble:
        return nothing(progress.trouble)
    return bar(progress.done, progress.total, reading(record))


def making(title: str, question: str) -> Component:
    """Return what is shown while a view is made."""
    return page(title, question, html.P("being worked out …", className="nothing making"))


def _data(**values: str) -> Any:
    """Return attributes for the page's own scripts."""
    return {f"data-{name}": value for name, value in values.items()}


def _cell(title: str, text: str, links: Mapping[str, str]) -> Component | str:
    if title == "family":
        return family(text)
    if title == "run" and text in links:
        return dcc.Link(text, href=links[text])
    return text
