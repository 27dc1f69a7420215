"""Filters and order of a table, against plain pandas on the same rows."""

import numpy as np
import pandas as pd
import pytest

from flowbench.dashboard.query import asked

TABLE = pd.DataFrame({
    "name": ["Glow", "nice", "realnvp", "a.b*c", "", "glow"],
    "bits": [2.1, np.nan, 1.9, 2.1, 3.0, np.inf],
})  # fmt: skip


def text(kind, value=None):
    return {"name": {"filterType": "text", "type": kind, "filter": value}}


def number(kind, value=None, to=None):
    return {"bits": {"filterType": "number", "type": kind, "filter": value, "filterTo": to}}


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        (text("contains", "GLO"), [0, 5]),
        (text("contains", ".b*"), [3]),
        (text("notContains", "glow"), [1, 2, 3, 4]),
        (text("equals", "glow"), [0, 5]),
        (text("notEqual", "glow"), [1, 2, 3, 4]),
        (text("startsWith", "r"), [2]),
        (text("endsWith", "e"), [1]),
        (text("blank"), [4]),
        (text("notBlank"), [0, 1, 2, 3, 5]),
        (number("equals", 2.1), [0, 3]),
        (number("lessThan", 2.1), [2]),
        (number("lessThanOrEqual", 2.1), [0, 2, 3]),
        (number("greaterThan", 2.1), [4, 5]),
        (number("greaterThanOrEqual", 2.1), [0, 3, 4, 5]),
        (number("inRange", 1.95, 2.5), [0, 3]),
        (number("blank"), [1]),
        (number("notBlank"), [0, 2, 3, 4, 5]),
        ({**text("contains", "glow"), **number("lessThan", 3)}, [0]),
        ({"gone": {"filterType": "text", "type": "equals", "filter": "x"}}, [0, 1, 2, 3, 4, 5]),
        (text("of a later version", "x"), [0, 1, 2, 3, 4, 5]),
        (text("contains"), [0, 1, 2, 3, 4, 5]),
    ],
)
def test_filters(filters, rows):
    assert list(asked(TABLE, filters, []).index) == rows


@pytest.mark.parametrize(("operator", "rows"), [("OR", [0, 1, 5]), ("AND", [])])
def test_two_conditions_of_a_column(operator, rows):
    each = [text("contains", "glow")["name"], text("equals", "nice")["name"]]
    condition = {"name": {"filterType": "text", "operator": operator, "conditions": each}}
    assert list(asked(TABLE, condition, []).index) == rows


def test_order_is_stable_and_puts_the_unknown_last():
    assert list(asked(TABLE, {}, [("bits", "asc")]).index) == [2, 0, 3, 4, 5, 1]
    assert list(asked(TABLE, {}, [("bits", "desc")]).index) == [5, 4, 0, 3, 2, 1]
    assert list(asked(TABLE, {}, [("bits", "asc"), ("name", "desc")]).index)[:3] == [2, 3, 0]
    assert list(asked(TABLE, {}, [("gone", "asc")]).index) == list(TABLE.index)
