"""A table's filters and order, as ag-grid states them, applied to a frame."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

WORDS: dict[str, Callable[[pd.Series, str], pd.Series]] = {
    "contains": lambda column, text: column.str.contains(text, regex=False),
    "notContains": lambda column, text: ~column.str.contains(text, regex=False),
    "equals": lambda column, text: column == text,
    "notEqual": lambda column, text: column != text,
    "startsWith": lambda column, text: column.str.startswith(text),
    "endsWith": lambda column, text: column.str.endswith(text),
}
NUMBERS: dict[str, Callable[[pd.Series, float], pd.Series]] = {
    "equals": lambda column, value: column == value,
    "notEqual": lambda column, value: column != value,
    "greaterThan": lambda column, value: column > value,
    "greaterThanOrEqual": lambda column, value: column >= value,
    "lessThan": lambda column, value: column < value,
    "lessThanOrEqual": lambda column, value: column <= value,
}


def asked(
    table: pd.DataFrame, filters: Mapping[str, Any], order: Sequence[tuple[str, str]]
) -> pd.DataFrame:
    """Return the rows that pass all filters, in order.

    What a filter or an order says of a column that is not there, or in a way that is not known, is
    passed over: an address may come from another version.

    Args:
        table: the rows.
        filters: by column, as ag-grid's text and number filters state them.
        order: columns and `asc` or `desc`, the first counts most.
    """
    for name, condition in filters.items():
        if name in table:
            table = table[_passes(table[name], condition)]
    known = [(column, way == "asc") for column, way in order if column in table]
    if not known:
        return table
    columns, ascending = zip(*known, strict=True)
    # Equal rows keep their order, and what is unknown comes last either way.
    return table.sort_values(list(columns), ascending=list(ascending), kind="stable")


def _passes(column: pd.Series, condition: Mapping[str, Any]) -> pd.Series:
    if "conditions" in condition:
        each = [_passes(column, part) for part in condition["conditions"]]
        joined = pd.concat(each, axis=1)
        return joined.any(axis=1) if condition.get("operator") == "OR" else joined.all(axis=1)
    everything = pd.Series(True, column.index)
    kind, value = condition.get("type"), condition.get("filter")
    if kind in ("blank", "notBlank"):
        blank = column.isna() | (column.astype(str) == "")
        return blank if kind == "blank" else ~blank
    if condition.get("filterType") == "number":
        if kind == "inRange":
            low, high = condition.get("filter"), condition.get("filterTo")
            return everything if low is None or high is None else (column > low) & (column < high)
        test = NUMBERS.get(str(kind))
        return everything if test is None or value is None else test(column, float(value))
    compare = WORDS.get(str(kind))
    if compare is None or value is None:
        return everything
    return compare(column.fillna("").astype(str).str.lower(), str(value).lower())
