"""What happens when the address changes, a person chooses, or the record has something new."""

from collections.abc import Mapping, Sequence
from typing import Any

import dash
from dash import ALL, ClientsideFunction, Input, Output, State, ctx, dcc, no_update
from dash.development.base_component import Component

from flowbench.dashboard import navigation
from flowbench.dashboard.address import Address
from flowbench.dashboard.grid import filters_of, written_order
from flowbench.dashboard.record import Record
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.shown import Shown
from flowbench.dashboard.views import runs
from flowbench.dashboard.views.registry import VIEWS

ADDRESS = (Input("address", "pathname"), Input("address", "search"))
AT = (State("address", "pathname"), State("address", "search"))
GO = Output("address", "href", allow_duplicate=True)
GRID = ("filterModel", "columnState")
"""What ag-grid tells of how a table is filtered and sorted."""
CHOICES = ("sweep", "data", "family")


def register(app: dash.Dash, record: Record) -> None:
    """Attach the callbacks."""
    shown = Shown(record)

    @app.callback(
        Output("version", "data"), Output("record", "children"),
        Input("clock", "n_intervals"), *AT, State("drawn", "data"),
    )  # fmt: skip
    def tick(_: int, path: str, search: str, drawn: str) -> tuple[Any, list[Component]]:
        """Look whether there is anything new."""
        now = shown.version(Address.read(path, search))
        return (no_update if now == drawn else now), navigation.state(record)

    @app.callback(
        Output("view", "children"), Output("drawn", "data"), Output("navigation", "children"),
        *ADDRESS, Input("version", "data"),
        State("drawn", "data"), *(State({"grid": ALL}, name) for name in GRID),
    )  # fmt: skip
    def show(
        path: str, search: str, _: str, drawn: str, filters: Sequence[Any], columns: Sequence[Any]
    ) -> tuple[Any, Any, Any]:
        """Show the view that the address names."""
        address = Address.read(path, search)
        if sorted_as(address, filters, columns) and shown.version(address) == drawn:
            return no_update, no_update, no_update  # the table itself wrote the address
        return *shown.get(address), navigation.navigation(address)

    @app.callback(
        *(Output(f"choose-{name}", "options") for name in CHOICES),
        Input("address", "search"), Input("version", "data"),
        *(State(f"choose-{name}", "options") for name in CHOICES),
    )  # fmt: skip
    def offer(search: str, _: str, *options: Any) -> list[Any]:
        """Offer what the record has to choose from."""
        snapshot = record.snapshot
        if snapshot is None:
            return [no_update] * len(CHOICES)
        seen = Seen(snapshot, Address.read("", search))
        offered = [seen.sweeps, seen.data_sets, seen.families]
        return [no_update if new == old else new for new, old in zip(offered, options, strict=True)]

    @app.callback(*(Output(f"choice-{name}", "hidden") for name in CHOICES), ADDRESS[0])
    def hide(path: str) -> list[bool]:
        """Hide the choices that mean nothing to a view."""
        view = VIEWS.get(Address.read(path, "").view)
        return [view is None or name not in view.filters for name in CHOICES]

    in_page: Any = app.clientside_callback
    # What a person chose and the address are kept equal by the page itself: an answer that comes
    # late from the server could undo a choice.
    in_page(
        ClientsideFunction("flowbench", "chosen"),
        *(Output(f"choose-{name}", "value") for name in CHOICES),
        ADDRESS[1], *(Input(f"choose-{name}", "options") for name in CHOICES),
    )  # fmt: skip
    in_page(
        ClientsideFunction("flowbench", "choose"),
        GO, *(Input(f"choose-{name}", "value") for name in CHOICES), prevent_initial_call=True,
    )  # fmt: skip
    in_page(
        ClientsideFunction("flowbench", "sort"),
        GO, *(Input({"grid": ALL}, name) for name in GRID), prevent_initial_call=True,
    )  # fmt: skip

    @app.callback(
        GO, Input({"figure": ALL, "links": True}, "clickData"), *AT, prevent_initial_call=True
    )
    def open_run(_: Sequence[Any], path: str, search: str) -> Any:
        """Go to the run whose point was clicked."""
        address = Address.read(path, search)
        clicked = ctx.triggered[0]["value"] if ctx.triggered else None
        if not clicked or not isinstance(ctx.triggered_id, Mapping):
            return no_update
        run = run_clicked(record, address, ctx.triggered_id["figure"], clicked["points"][0])
        return no_update if run is None else address.of_run(run).href

    @app.callback(
        Output({"grid": runs.NAME}, "getRowsResponse"),
        Input({"grid": runs.NAME}, "getRowsRequest"), *AT,
        prevent_initial_call=True,
    )  # fmt: skip
    def rows(request: Mapping[str, Any] | None, path: str, search: str) -> Any:
        """Hand over the rows of the table of all runs that are scrolled to."""
        if request is None or record.snapshot is None:
            return no_update
        return runs.page_of(Seen(record.snapshot, Address.read(path, search)), request)

    @app.callback(Output("comparable", "children"), Input({"grid": runs.NAME}, "selectedRows"), *AT)
    def tick_runs(selected: Sequence[Mapping[str, Any]] | None, path: str, search: str) -> Any:
        """Offer to compare the runs that are ticked."""
        ticked = [row["run"] for row in selected or []]
        if len(ticked) < 2:
            return []
        href = Address.read(path, search).beside(ticked).href
        return dcc.Link(f"compare {len(ticked)} runs", href=href, className="export")


def sorted_as(address: Address, filters: Sequence[Any], columns: Sequence[Any]) -> bool:
    """Say whether the table on the page is filtered and sorted as the address says.

    Args:
        address: where the page is.
        filters: the filter model of the page's table, if it has one.
        columns: its column state.
    """
    if not columns or not columns[0]:
        return False
    return (filters[0] or {}, written_order(columns[0])) == (filters_of(address), address.order)


def run_clicked(
    record: Record, address: Address, name: str, point: Mapping[str, Any]
) -> str | None:
    """Return the run behind a point of a figure of a view."""
    view, snapshot = VIEWS.get(address.view), record.snapshot
    if view is None or view.pictures is None or snapshot is None:
        return None
    pictures = view.pictures(Seen(snapshot, address))
    picture = next((picture for picture in pictures if picture.name == name), None)
    return None if picture is None else picture.run_at(point)
