"""Two runs, or two families, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
from dash import dcc, html
from dash.development.base_component import Component

from flowbench.compare.columns import UNKNOWN
from flowbench.dashboard import parts
from flowbench.dashboard.described import Row, facts, measures, specification
from flowbench.dashboard.picture import Picture
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import MOST_GROUPS, View
from flowbench.dashboard.views.run import quoting
from flowbench.report.comparisons import pairs_table
from flowbench.report.figures.learning_curves import learning_curves_data, learning_curves_figure
from flowbench.report.sections import sample_panels
from flowbench.report.tables import Cell, Table
from flowbench.report.tables import leaderboard as leaderboard_cells

TITLE = "Side by side"
QUESTION = "In what do two runs, or two families, differ?"
MOST_RUNS = 4


def show(seen: Seen) -> Component:
    """Compare the runs of the address; without any, the chosen families."""
    rows = [row for name in seen.address.runs[:MOST_RUNS] if (row := seen.run(name)) is not None]
    if len(rows) > 1:
        return parts.page(TITLE, QUESTION, *_runs(seen, rows))
    return parts.page(TITLE, QUESTION, *_families(seen))


def _runs(seen: Seen, rows: Sequence[Row]) -> list[Component | None]:
    names = [str(row["run"]) for row in rows]
    links = [dcc.Link(name, href=seen.address.of_run(name).href) for name in names]
    return [
        html.P([part for link in links for part in (link, " · ")][:-1]),
        parts.figures(pictures(seen), seen.address),
        html.Div(
            [
                _differing("What they are", names, [facts(row) for row in rows]),
                _differing("Specification", names, [specification(row) for row in rows]),
                _differing("Figures", names, [measures(row) for row in rows]),
            ],
            className="stack",
        ),
        html.Div(
            [
                gallery
                for row in rows
                if (gallery := parts.gallery(
                    str(row["run"]), *sample_panels(seen.frame, quoting([row]))
                )) is not None
            ],
            className="stack",
        ),
    ]  # fmt: skip


def pictures(seen: Seen) -> list[Picture]:
    """Return the runs' learning curves in one figure."""
    rows = [row for name in seen.address.runs[:MOST_RUNS] if (row := seen.run(name)) is not None]
    if not rows:
        return []
    curves = learning_curves_data(seen.frame, quoting(rows))
    if curves.empty:
        return []
    return [
        Picture(
            "curves", "Learning curves", "Validation bits/dim.", curves, learning_curves_figure,
            places=("step", "value"), wide=True,
        )
    ]  # fmt: skip


def _differing(
    title: str, names: Sequence[str], each: Sequence[Mapping[str, object]]
) -> Component | None:
    """Return a table of what differs, and under it what is the same."""
    keys = list(dict.fromkeys(key for values in each for key in values))
    table = {key: [str(values.get(key) or UNKNOWN) for values in each] for key in keys}
    apart = {key: values for key, values in table.items() if len(set(values)) > 1}
    alike = {key: values for key, values in table.items() if key not in apart}
    return parts.card(
        title,
        parts.table(_set(names, apart)) if apart else html.P("No difference."),
        html.Details([
            html.Summary(f"{len(alike)} that are the same"),
            parts.facts({key: values[0] for key, values in alike.items()}),
        ]) if alike else html.Span(),
    )  # fmt: skip


def _set(names: Sequence[str], values: Mapping[str, list[str]]) -> Table:
    rows = tuple((Cell(key), *map(Cell, each)) for key, each in values.items())
    return Table(("", *names), ("",) * (len(names) + 1), rows, (False,) * (len(names) + 1))


def _families(seen: Seen) -> list[Component | None]:
    """Compare the chosen families, or the two best, on each data set."""
    found: list[Component | None] = []
    pairs = seen.snapshot.differences(seen.address.sweep)
    for rows in seen.groups[:MOST_GROUPS]:
        two = rows if len(seen.address.families) > 1 else rows.iloc[:2]
        if len(two) < 2:
            continue
        data, families = str(rows["data"].iloc[0]), list(two["family"])
        mine = seen.of_group(pairs, rows)
        mine = mine[mine["family"].isin(families) & mine["other"].isin(families)]
        cells = leaderboard_cells(two)
        links = [
            dcc.Link(
                f"their runs {ids[0]} and {other[0]}",
                href=seen.address.beside([ids[0], other[0]]).href,
            )
            for ids, other in [tuple(two["run_ids"].iloc[:2])]
        ]
        found.append(parts.card(
            data,
            parts.table(_turned(cells)),
            *(parts.table(titled.table) for titled in pairs_table(mine)),
            html.P([*links], className="note"),
        ))  # fmt: skip
    if not found:
        words = (
            "Choose two families above, or tick two runs in the list of all runs; no data set has"
            " two that finished."
        )
        return [parts.nothing(words)]
    note = html.P("The best two, unless families are chosen above. Runs are chosen by ticking them"
                  " in the list of all runs.", className="note")  # fmt: skip
    return [note, html.Div(found, className="stack")]


def _turned(table: Table) -> Table:
    """Return a table with its rows as columns: a family a column."""
    name = table.header.index("family")
    kept = [i for i in range(len(table.header)) if i != name]
    rows = tuple(
        (Cell(table.header[i]), *(replace(row[i], number=True) for row in table.rows)) for i in kept
    )
    header = ("", *(row[name].text for row in table.rows))
    return Table(header, ("",) * len(header), rows, (False, *(True,) * (len(header) - 1)))


def tables(seen: Seen) -> Mapping[str, pd.DataFrame]:
    """Return what the figures are drawn from."""
    return {picture.name: picture.data for picture in pictures(seen)}


VIEW = View(
    "compare", TITLE, QUESTION, show, tables, part="Runs", pictures=pictures,
)  # fmt: skip
