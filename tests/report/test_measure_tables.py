"""The tables of all measures against the raw record."""

import dataclasses

import numpy as np
import pytest
from synthetic_record import FAMILIES

from flowbench.report.figures.inversion_curve import CURVE
from flowbench.report.measure_tables import measured_tables
from flowbench.report.measured import measurements
from flowbench.report.measures import TABLES, fault_share, share
from flowbench.spec.metrics import METRICS, by_name

pytestmark = pytest.mark.xdist_group("full-report")


@pytest.fixture(scope="module")
def tables(made):
    def find(data):
        rows = made.leaderboard[made.leaderboard["data"] == data]
        return {m.kind.name: m for m in measured_tables(made.frame, rows)}

    return find


def test_every_column_is_a_metric_that_the_record_knows():
    for kind in TABLES:
        for measure in kind.measures:
            names = {measure.metric.format(subject) for subject in kind.subjects}
            assert names & set(by_name()), measure.metric


def test_every_measure_of_the_full_protocol_is_in_a_table_or_a_figure():
    shown = {
        measure.metric.format(subject)
        for kind in TABLES for measure in kind.measures for subject in kind.subjects
    } | set(CURVE)  # fmt: skip
    left_out = [m.pattern for m in METRICS if m.protocol == "full" and not shown & set(m.names())]
    counts = [pattern for pattern in left_out if pattern.endswith(("points", "points{,_float64}"))]
    assert set(left_out) - set(counts) == {
        "inversion/{exact_share,points,iterations_mean,iterations_max,unconverged}_float64"
    }


def test_each_cell_is_what_the_record_has(tables, raw):
    found = tables("digits")
    full = raw.runs[
        (raw.runs["tags.flowbench.stage"] == "evaluate")
        & (raw.runs["tags.flowbench.data"] == "digits")
    ].set_index("tags.flowbench.family")
    assert set(found) == {kind.name for kind in TABLES}
    cells = 0
    for table in found.values():
        assert set(table.data["protocol"]) == {"full"}
        for row in table.data.to_dict("records"):
            for measure in table.kind.measures:
                if measure.metric not in row or np.isnan(row[measure.metric]):
                    continue
                name = f"metrics.{measure.metric.format(row['subject'])}"
                assert row[measure.metric] == pytest.approx(full.loc[row["family"], name])
                cells += 1
    assert cells > 500


def test_quick_and_full_measurements_are_never_one_number(made, tables):
    runs = made.frame.runs
    quoted = [f"full.glow.digits.confirm-{seed}" for seed in range(5)]
    behind, protocol = measurements(runs, quoted, ["inversion/flow/xzx/max"])
    assert (list(behind["run"]), protocol) == ([f"{quoted[0]}.full"], "full")
    behind, protocol = measurements(runs, quoted, ["test/nats"])
    assert (len(behind), protocol) == (5, "quick")
    assert set(tables("rings")["inversion"].data["protocol"]) == {"quick"}
    assert "Quick protocol." in tables("rings")["inversion"].note
    # One family measured in full beside five that were not: said, and nobody is the best.
    rows = made.leaderboard[made.leaderboard["data"] == "digits"]
    other = runs[(runs["family"] == "glow") | (runs["stage"] != "evaluate")]
    frame = dataclasses.replace(made.frame, runs=other)
    mixed = {m.kind.name: m for m in measured_tables(frame, rows)}["inversion"]
    assert mixed.note.endswith(
        f"Full protocol, but quick for {', '.join(f for f in rows['family'] if f != 'glow')}."
    )
    assert not any(cell.best for row in mixed.table.rows for cell in row)


def test_the_best_of_each_input_is_marked(tables):
    table = tables("digits")["unusual-inputs"]
    column = table.table.header.index("largest")
    best = {(row[1].text, row[0].text) for row in table.table.rows if row[column].best}
    assert best == {(words, "nice") for words in table.kind.subjects.values()}
    assert len(table.table.rows) == 6 * len(FAMILIES)


def test_what_was_not_measured_alike_has_no_best(tables):
    def best(table, **changes):
        changed = dataclasses.replace(table, data=table.data.assign(**changes))
        return any(cell.best for row in changed.table.rows for cell in row)

    inversion, cost = tables("digits")["inversion"], tables("digits")["cost"]
    assert best(inversion)
    assert best(cost)
    devices = [f"device {i}" for i in range(len(cost.data))]
    assert not best(cost, device=devices)
    assert best(inversion, device=["elsewhere", *inversion.data["device"][1:]])
    assert not best(inversion, **{"inversion/points": range(len(inversion.data))})


def test_shares_are_never_rounded_to_the_better_side():
    assert fault_share(0) == "0 %"
    assert fault_share(1e-6) == "0.1 %"
    assert fault_share(0.02) == "2.0 %"
    assert share(0.9999) == "99.9 %"
    assert share(1.0) == "100.0 %"
