"""The simulation behind docs/scaling.md, against what can be known without one; made-up runs."""

import json
import shutil

import pytest
from pandas.testing import assert_frame_equal
from synthetic_record import empty_database

from benchmarks import scaling, synthetic_runs
from benchmarks.simulation import Engine, busy_share
from benchmarks.tables import Table
from flowbench.tracking.reader import read_runs


def test_drivers_that_are_fast_enough_keep_all_gpus_busy():
    share = busy_share(
        Engine(ask=1e-4, tell=1e-4), gpus=50, drivers=1, searches=1, trial_seconds=60
    )
    assert share == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("drivers", "searches", "rate"), [(1, 12, 10), (4, 1000, 40), (4, 1, 12.5)],
    ids=["one-driver", "four-drivers", "four-drivers-in-one-search"],
)  # fmt: skip
def test_what_is_saturated_sets_the_pace(drivers, searches, rate):
    # Asking takes 0.08 s and telling 0.02: a driver starts ten trials a second, a search 12.5.
    engine = Engine(ask=0.08, tell=0.02)
    share = busy_share(
        engine, gpus=1000, drivers=drivers, searches=searches, trial_seconds=10, trials_per_gpu=60
    )
    assert share == pytest.approx(rate * 10 / 1000, rel=0.02)


def test_following_many_trials_costs_time_at_their_ends():
    # A round over 1,000 trials takes a second and is followed by two of sleep: on average a trial
    # has ended for a second and a half before its driver sees it.
    engine = Engine(ask=0, tell=0, follow=1e-3)
    share = busy_share(engine, gpus=1000, drivers=1, searches=12, trial_seconds=15)
    assert share == pytest.approx(15 / 16.5, abs=0.01)


def test_the_page_is_computed_from_the_figures(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{scaling.BEGIN}\nold\n{scaling.END}\n\nafter\n")
    monkeypatch.setattr(scaling, "PAGE", page)
    scaling.write_page([Table("t", "Title", ("what", "s"), [("one", 1234.5), ("none", None)])])
    text = page.read_text()
    assert "| one | 1,234 |\n| none | - |" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_the_published_page_is_that_of_the_published_figures():
    figures = json.loads(scaling.FIGURES.read_text())
    page = scaling.PAGE.read_text()
    for table in (scaling.limits(figures), scaling.shares(figures)):
        assert table.markdown() in page


def test_made_up_runs_are_the_same_however_many_are_made_at_once(tmp_path):
    records = []
    for name, parts in (("whole", [range(126)]), ("parts", [range(100), range(100, 126)])):
        uri = f"sqlite:///{tmp_path / name}.db"
        shutil.copy(empty_database(), tmp_path / f"{name}.db")
        for runs in parts:
            synthetic_runs.fill(uri, tmp_path / "artifacts" / name, runs)
        records.append(read_runs(uri))
    assert_frame_equal(*records)
    assert list(records[0]["family"].unique()) == list(synthetic_runs.FAMILIES)
    assert records[0].groupby("stage").size().to_dict() == {"tune": 90, "confirm": 30, "speed": 6}
