"""What the report says of one data set: its sentences, tables, figures and samples."""

import base64
import json
import math
from dataclasses import dataclass

import pandas as pd

from flowbench.compare.runs import Frame, listed
from flowbench.report import pictures, tables
from flowbench.report.comparisons import Comparisons, pairs_table, tuned_table
from flowbench.report.figures import samples
from flowbench.report.measure_tables import measured_tables
from flowbench.report.published import published_table
from flowbench.report.words import statements
from flowbench.spec.sweep import slug


@dataclass(frozen=True)
class Section:
    """One data set, prepared in one way."""

    id: str
    """Fit for a file name and an address."""
    data: str
    statements: tuple[str, ...]
    facts: tuple[str, ...]
    leaderboard: tables.Table
    paper: tables.Table
    """The leaderboard in few enough columns for a printed page."""
    pictures: tuple[pictures.Picture, ...]
    tables: tuple[tables.Titled, ...]
    panels: tuple[samples.Panel, ...]
    panels_note: str


def section(frame: Frame, rows: pd.DataFrame, number: int, compared: Comparisons) -> Section:
    """Build the section of one data set.

    Args:
        frame: all runs.
        rows: the data set's rows of the leaderboard.
        number: of the section.
        compared: the other tables of `flowbench.compare`.
    """
    data = str(rows["data"].iloc[0])
    split = "test" if (rows["split"] == "test").any() else "val"
    baselines = frame.baselines(data, split, float(rows["dimensions"].iloc[0]))
    panels, note = sample_panels(frame, rows)
    mine = compared.of(rows)
    return Section(
        id=f"{number}-{slug(data)}",
        data=data,
        statements=statements(rows, mine.pairs, mine.winners, mine.tuned, baselines),
        facts=_facts(rows, baselines),
        leaderboard=tables.leaderboard(rows),
        paper=tables.leaderboard(rows, compact=True),
        pictures=tuple(pictures.of_data_set(frame, rows, baselines, compared.best_after)),
        tables=(
            *pairs_table(mine.pairs),
            *published_table(rows),
            *tuned_table(mine.tuned),
            *(measured.titled for measured in measured_tables(frame, rows)),
        ),
        panels=tuple(panels),
        panels_note=note,
    )


def sample_panels(frame: Frame, rows: pd.DataFrame) -> tuple[list[samples.Panel], str]:
    """Draw samples of the first quoted run of each family that kept any."""
    real, drawn = None, {}
    for row in rows.to_dict("records"):
        found = next((s for run in row["run_ids"] if (s := frame.samples(run)) is not None), None)
        if (
            found is not None
            and found[0].shape[1:] == (real if real is not None else found[1]).shape[1:]
        ):
            drawn[row["family"]] = found[0]
            real = found[1] if real is None else real
    if real is None:
        return [], ""
    if real.ndim == 2 and real.shape[1] != 2:
        names = listed(_first(rows, frame, "label.columns"))
        more = (
            f" The first {samples.MARGINALS} of {real.shape[1]} columns."
            if (real.shape[1] > samples.MARGINALS)
            else ""
        )
        picture = samples.marginals(real, drawn, names)
        return [samples.Panel("", picture)], "Histogram of the data, and of each family." + more
    return samples.gallery(
        real, drawn
    ), "Unselected samples of one seed each, beside held-out data."


def _facts(rows: pd.DataFrame, baselines: dict[str, float]) -> tuple[str, ...]:
    dimensions = rows["dimensions"].iloc[0]
    facts = [
        "" if math.isnan(dimensions) else f"{int(dimensions):,} dimensions",
        _preprocessing(rows["preprocess"].iloc[0]),
        f"content {hash_[:12]}" if (hash_ := rows["data_hash"].iloc[0]) else "",
        *(f"{name} {value:.4g} bits/dim" for name, value in baselines.items()),
    ]
    return tuple(fact for fact in facts if fact)


def _preprocessing(words: str) -> str:
    """Write the preprocessing's steps, `logit (lam 0.01), standardise`."""
    try:
        steps = json.loads(words)
        parts = [
            " ".join([str(step["name"]), *(
                f"{key} {value}" for key, value in step.items() if isinstance(value, int | float)
            )])
            for step in steps
        ]  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError):
        return f"preprocessing {words}" if words else ""
    return f"preprocessing {', '.join(parts)}" if parts else "no preprocessing"


def _first(rows: pd.DataFrame, frame: Frame, column: str) -> str:
    run = rows["run_ids"].iloc[0][0]
    return str(frame.runs.loc[frame.runs["run"] == run, column].iloc[0])


def data_uri(content: bytes, kind: str) -> str:
    """Return bytes as an address that needs no request."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
