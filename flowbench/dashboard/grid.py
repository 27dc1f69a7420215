"""Tables that are sorted and filtered by the person who reads them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import dash_ag_grid as dag
from dash.development.base_component import Component

from flowbench.dashboard.address import Address

NUMBER: dict[str, Any] = {
    "filter": "agNumberColumnFilter",
    "type": "rightAligned",
    "sortingOrder": ["asc", "desc", None],
}
WORDS: dict[str, Any] = {"filter": "agTextColumnFilter"}
OPTIONS: dict[str, Any] = {
    "theme": {"function": "pageTheme(themeQuartz)"},
    "suppressColumnVirtualisation": True,
    "enableCellTextSelection": True,
    "ensureDomOrder": True,
    "suppressDragLeaveHidesColumns": True,
}


def grid(
    name: str,
    columns: Sequence[Mapping[str, Any]],
    address: Address,
    rows: list[dict[str, Any]] | None,
    **more: Any,
) -> Component:
    """Return a table, sorted and filtered as the address says.

    Args:
        name: of the table in its view.
        columns: ag-grid's definitions.
        address: where it is seen.
        rows: what it holds; None where rows are asked for as they are scrolled to.
        more: properties of `dash_ag_grid.AgGrid`.
    """
    sorted_by = order_of(address)
    defined = [
        {
            **column,
            "sort": sorted_by.get(column["field"], (None, None))[0],
            "sortIndex": sorted_by.get(column["field"], (None, None))[1],
        }
        for column in columns
    ]
    options = {**OPTIONS, **more.pop("options", {})}
    given = {"rowData": rows} if rows is not None else {"rowModelType": "infinite"}
    table: Component = dag.AgGrid(
        id={"grid": name},
        columnDefs=defined,
        defaultColDef={"resizable": True, "sortable": True, "minWidth": 70},
        dashGridOptions=options,
        filterModel=filters_of(address),
        columnSize="autoSize",
        className="grid",
        **given,
        **more,
    )
    return table


def order_of(address: Address) -> dict[str, tuple[str, int]]:
    """Return the sorted columns, each with its direction and its place among them."""
    parts = [part.rpartition(".") for part in address.order.split(",") if part]
    return {column: (way, i) for i, (column, _, way) in enumerate(parts) if way in ("asc", "desc")}


def filters_of(address: Address) -> dict[str, Any]:
    """Return the filters of the address; none where it holds no such thing."""
    try:
        model = json.loads(address.filters) if address.filters else {}
    except ValueError:
        return {}
    return model if isinstance(model, dict) else {}


def written_order(columns: Sequence[Mapping[str, Any]]) -> str:
    """Return ag-grid's column state as the address writes it."""
    ordered = [column for column in columns if column.get("sort")]
    ordered.sort(key=lambda column: column.get("sortIndex") or 0)
    return ",".join(f"{column['colId']}.{column['sort']}" for column in ordered)
