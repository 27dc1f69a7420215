"""The app: one page whose address says what is seen."""

from typing import Any

import dash
from dash import dcc, html
from dash.development.base_component import Component

from flowbench.dashboard import callbacks
from flowbench.dashboard.downloads import offer_downloads
from flowbench.dashboard.record import Record
from flowbench.dashboard.security import secure

CLOCK_SECONDS = 2.0
"""How often a page asks whether there is anything new; the answer is a version, not the data."""

META = [
    {"name": "viewport", "content": "width=device-width, initial-scale=1"},
    {"name": "color-scheme", "content": "light dark"},
]
# Without Dash's note to users of Internet Explorer: it is a script that the policy would refuse.
PAGE = """<!doctype html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title>{%favicon%}{%css%}</head>
<body>{%app_entry%}<footer>{%config%}{%scripts%}{%renderer%}</footer></body>
</html>"""


def make_app(record: Record, host: str = "127.0.0.1") -> dash.Dash:
    """Return the app.

    Args:
        record: what it shows.
        host: the address that it will listen at.
    """
    app = dash.Dash(
        "flowbench.dashboard", title="FlowBench", update_title="", meta_tags=META,
        index_string=PAGE, suppress_callback_exceptions=True, add_log_handler=False,
    )  # fmt: skip
    app.layout = _layout
    callbacks.register(app, record)
    offer_downloads(app.server, record)
    secure(app, host)
    return app


def _layout() -> Component:
    return html.Div(
        [
            dcc.Location(id="address", refresh="callback-nav"),
            dcc.Interval(id="clock", interval=1000 * CLOCK_SECONDS),
            dcc.Store(id="version", data=""),
            dcc.Store(id="drawn", data=""),
            html.Header(
                [dcc.Link("FlowBench", href="/", className="brand"), html.Div(id="record")]
            ),
            html.Nav(id="navigation"),
            html.Div(
                [
                    _choice("sweep", "all sweeps"),
                    _choice("data", "all data sets"),
                    _choice("family", "all families", multi=True),
                ],
                id="choices",
            ),
            html.Main(dcc.Loading(html.Div(id="view"), delay_show=400, type="dot")),
        ],
        id="page",
    )


def _choice(name: str, placeholder: str, **more: Any) -> Component:
    return html.Div(
        [
            html.Label(name.replace("data", "data set"), htmlFor=f"choose-{name}"),
            dcc.Dropdown(id=f"choose-{name}", placeholder=placeholder, **more),
        ],
        id=f"choice-{name}",
        className="choice",
    )
