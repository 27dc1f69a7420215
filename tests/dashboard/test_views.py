"""What the views say and what their callbacks answer."""

import json
import threading

import pytest
from plotly.utils import PlotlyJSONEncoder
from synthetic_record import FAMILIES, HOSTILE, Record, RecordedRun

from flowbench.dashboard.address import Address
from flowbench.dashboard.callbacks import run_clicked
from flowbench.dashboard.described import against_defaults, differing
from flowbench.dashboard.followed import Followed
from flowbench.dashboard.kept import Kept
from flowbench.dashboard.record import Record as LiveRecord
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.shown import Shown
from flowbench.dashboard.views import runs as all_runs
from flowbench.dashboard.views.leaderboard import cells
from flowbench.dashboard.views.registry import VIEWS
from flowbench.tracking.reader import read_runs

SHOW = (("view", "children"), ("drawn", "data"), ("navigation", "children"))
RUN = "full.residual.digits.confirm-0"


def seen(app, path, search=""):
    return Seen(app.record.snapshot, Address.read(path, search))


def words(component):
    """Return all that a person reads in a view."""
    if isinstance(component, list | tuple):
        return " ".join(words(part) for part in component)
    if hasattr(component, "to_plotly_json"):
        component = component.to_plotly_json()
    if isinstance(component, dict):
        return words(component.get("props", {}).get("children", ""))
    return "" if component is None else str(component)


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_is_made_of_a_full_record(full_app, name):
    search = f"?data=digits&run={RUN}"
    if name == "compare":
        search += "&run=full.glow.digits.confirm-0"
    view = VIEWS[name].show(seen(full_app, name, search))
    json.loads(json.dumps(view, cls=PlotlyJSONEncoder))
    assert "no such" not in words(view)


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_is_made_of_a_record_without_runs(tmp_path, name):
    record = LiveRecord(Record(tmp_path).uri)
    record.look()
    assert words(VIEWS[name].show(Seen(record.snapshot, Address(view=name))))


def test_the_address_brings_the_view(full_app):
    inputs = [("address", "pathname", "/leaderboard"), ("address", "search", "?data=moons"),
              ("version", "data", "")]  # fmt: skip
    status, answer = full_app.call(SHOW, inputs, [("drawn", "data", ""), [], []])
    assert status == 200
    said = words(answer["response"]["view"]["children"])
    assert "On moons, " in said
    assert "On digits, " not in said


def test_families_that_are_hidden_change_no_rank(full_app):
    whole = seen(full_app, "leaderboard", "?data=digits").rows.set_index("family")
    some = seen(full_app, "leaderboard", "?data=digits&family=nice&family=planar").rows
    assert sorted(some["family"]) == ["nice", "planar"]
    for row in some.to_dict("records"):
        assert row["rank"] == whole.loc[row["family"], "rank"]
        assert row["behind_best"] == whole.loc[row["family"], "behind_best"]


def test_cells_hold_numbers_to_sort_by_and_words_to_read(full_app):
    rows = seen(full_app, "leaderboard", "?data=digits").rows
    for cell, (_, row) in zip(cells(rows), rows.iterrows(), strict=True):
        assert cell["bits_per_dim"] == row["bits_per_dim"]
        mean, _, error = cell["words"]["bits_per_dim"].split()
        assert float(mean) == pytest.approx(row["bits_per_dim"], abs=float(error))
        assert float(error) == pytest.approx(row["bits_per_dim_se"], rel=0.05)
        assert cell["run"] == row["run_ids"][0]


def test_rows_come_as_they_are_scrolled_to(full_app, full_uri):
    there = seen(full_app, "runs")
    everything = read_runs(full_uri)
    total = int((everything["measures"] == "").sum())
    sort = [{"colId": "val_bits_per_dim", "sort": "asc"}]
    first = all_runs.page_of(there, {"startRow": 0, "endRow": 10, "sortModel": sort})
    second = all_runs.page_of(there, {"startRow": 10, "endRow": 20, "sortModel": sort})
    assert first["rowCount"] == second["rowCount"] == total
    values = [row["val_bits_per_dim"] for row in (*first["rowData"], *second["rowData"])]
    own = everything[everything["measures"] == ""]
    assert values == sorted(own["val/bits_per_dim"].dropna())[:20]
    json.dumps(first, allow_nan=False)


def test_a_point_that_is_clicked_is_its_run(full_app):
    address = Address.read("trade-off", "?data=digits")
    picture = VIEWS["trade-off"].pictures(Seen(full_app.record.snapshot, address))[0]
    assert sorted(picture.data["family"]) == sorted(FAMILIES)
    for row in picture.data.to_dict("records"):
        point = {"x": row["speed"], "y": row["value"]}
        assert run_clicked(full_app.record, address, picture.name, point) == row["run"]
    nowhere = {"x": 1.0, "y": 1.0}
    assert run_clicked(full_app.record, address, picture.name, nowhere) is None
    assert run_clicked(full_app.record, address, "gone", nowhere) is None


def test_a_specification_is_compared_with_the_defaults(full_app, monkeypatch):
    from flowbench.dashboard import described

    monkeypatch.setattr(
        described.DEFAULTS, "_families", {"residual": {"lipschitz": 0.97, "depth": 8}}
    )
    there = seen(full_app, "run", f"?run={RUN}")
    row = there.run(RUN)
    stated = against_defaults(row).set_index("key")
    assert stated.loc["family.lipschitz", "default"] == "0.97"
    assert stated.loc["training.learning_rate", "value"] == "0.01"
    changed = set(differing(stated.reset_index())["key"])
    assert {"family.lipschitz", "family.depth"} <= changed
    assert "family.name" not in changed
    described.DEFAULTS._families["residual"]["lipschitz"] = float(row["param.family.lipschitz"])
    assert "family.lipschitz" not in set(differing(against_defaults(row))["key"])


def test_hostile_names_stay_text(hostile_app):
    for name, view in VIEWS.items():
        shown = view.show(seen(hostile_app, name, f"?run={HOSTILE}.0"))
        encoded = json.dumps(shown, cls=PlotlyJSONEncoder)
        # Plotly reads markup in what a figure says; everything else is React's, which does not.
        figures = [part for part in json.loads(encoded)["props"]["children"] if part]
        for figure in found(figures, "Graph"):
            texts = json.dumps(figure["props"]["figure"])
            assert "<script" not in texts
        assert not found(figures, "Markdown")


def found(part, kind):
    """Return the components of a kind inside a view."""
    if isinstance(part, list):
        return [each for child in part for each in found(child, kind)]
    if not isinstance(part, dict):
        return []
    mine = [part] if part.get("type") == kind else []
    return mine + found(part.get("props", {}).get("children"), kind)


def test_a_record_that_cannot_be_read_is_said_and_tried_again(tmp_path):
    place = tmp_path / "mlflow.db"
    place.write_text("no database")
    record = LiveRecord(f"sqlite:///{place}")
    record.start()
    try:
        for _ in range(200):
            if record.progress.trouble:
                break
            threading.Event().wait(0.05)
        assert "cannot be read" in record.progress.trouble
        assert record.snapshot is None
        shown, _ = Shown(record).get(Address(view="leaderboard"))
        assert "cannot be read" in words(shown)
    finally:
        record.stop()


def test_a_slow_view_is_made_in_the_background(full_app, monkeypatch):
    go = threading.Event()
    view = VIEWS["samples"]
    slow = Shown(full_app.record)
    monkeypatch.setattr("flowbench.dashboard.shown.PATIENCE", 0.05)
    monkeypatch.setitem(
        VIEWS, "samples",
        view.__class__(**{**vars(view), "show": lambda s: (go.wait(10), view.show(s))[1]}),
    )  # fmt: skip
    address = Address(view="samples", data="digits")
    first, version = slow.get(address)
    assert "being worked out" in words(first)
    assert slow.version(address) == version
    go.set()
    for _ in range(200):
        if slow.version(address) != version:
            break
        threading.Event().wait(0.05)
    made, later = slow.get(address)
    assert "being worked out" not in words(made)
    assert later == slow.version(address)


def test_a_new_run_is_a_new_version(tmp_path):
    there = Record(tmp_path)
    there.add(RecordedRun("one.nice", "nice", "digits"))
    record = LiveRecord(there.uri)
    record.look()
    shown, address = Shown(record), Address(view="runs")
    _, before = shown.get(address)
    record.look()
    assert shown.version(address) == before
    there.add(RecordedRun("one.glow", "glow", "digits"))
    record.look()
    assert shown.version(address) != before
    assert set(record.snapshot.frame.runs["family"]) == {"nice", "glow"}


def test_what_is_followed_is_read_anew_but_never_waited_for():
    values = iter(range(10))
    released = threading.Event()
    released.set()

    def read():
        released.wait(10)
        return next(values)

    followed = Followed(read, every=0.0)
    assert followed.get() == 0
    released.clear()
    assert followed.get() == 0  # the second reading has begun
    assert followed.get() == 0
    released.set()
    for _ in range(200):
        if followed.get() > 0:
            return
        threading.Event().wait(0.02)
    pytest.fail("nothing new was read")


def test_what_was_asked_for_longest_ago_makes_room():
    kept = Kept(2)
    for key in ("a", "b", "a", "c"):
        kept.get(key, lambda key=key: key.upper())
    assert [kept.known(key) for key in ("a", "b", "c")] == ["A", None, "C"]
