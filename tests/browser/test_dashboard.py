"""The dashboard as a person uses it, in a real browser."""

import csv
import io
import json
import time
import zipfile
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from full_record import TRIALS
from synthetic_record import FAMILIES, HOSTILE, Record, RecordedRun
from watched import dashboard, until

from flowbench.dashboard.views.registry import VIEWS
from flowbench.tracking.reader import read_history, read_runs

pytestmark = pytest.mark.browser

RUN = "full.residual.digits.confirm-0"
OTHER = "full.glow.digits.confirm-0"
ADDRESSES = [
    *(f"/{name}" for name in VIEWS if name not in ("run", "compare")),
    f"/run?run={RUN}",
    "/compare",
    f"/compare?run={RUN}&run={OTHER}",
]
EMPTY = ("/live", "/failures")
"""Views of which the record has nothing: its sweep was not run from here, and no run failed."""
NARROW, WIDE = 400, 1280


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("path", ADDRESSES)
def test_every_view_fits_in_silence_and_asks_nobody_else(full_dashboard, opened, path, width):
    watched = opened(full_dashboard, width)
    page = watched.open(path)
    page.wait_for_timeout(300)
    assert not watched.complaints
    assert watched.requests
    assert not watched.strangers
    assert page.locator(".nothing").count() == (path in EMPTY)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_is_dark_where_the_system_is(full_dashboard, opened):
    def colours(dark):
        page = opened(full_dashboard, dark=dark).open("/trade-off")
        ink = page.locator(".xtick text").first.evaluate("e => getComputedStyle(e).fill")
        return page.evaluate("getComputedStyle(document.body).backgroundColor"), ink

    def brightness(colour):
        return sum(int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3])

    (light_paper, dark_ink), (dark_paper, light_ink) = colours(False), colours(True)
    assert brightness(light_paper) > 600 > 300 > brightness(dark_paper)
    assert brightness(dark_ink) < 300 < 600 < brightness(light_ink)


def markers(page, figure):
    """Count the points that a figure draws."""
    return page.locator(f"figure:has-text('{figure}') .scatterlayer path.point").count()


def test_figures_have_as_many_points_as_the_record(full_dashboard, full_uri, opened):
    runs = read_runs(full_uri, "full")
    watched = opened(full_dashboard)
    page = watched.open("/trade-off?data=digits")
    assert markers(page, "Likelihood against sampling speed") == len(FAMILIES)
    page = watched.open("/curves?data=digits&family=glow")
    epochs = page.locator("figure").first.evaluate(
        "f => f.querySelector('.js-plotly-plot')._fullData.reduce((n, t) => n + t.x.length, 0)"
    )
    recorded = runs[(runs["family"] == "glow") & (runs["data"] == "digits")]
    curve = read_history(
        full_uri, recorded[recorded["run"] == OTHER]["mlflow_id"].iloc[0], ["val/bits_per_dim"]
    )
    assert markers(page, "Learning curves: digits") == epochs == len(curve) > 1
    page = watched.open("/splits?data=digits&family=realnvp")
    tuned = recorded_trials(runs, "realnvp", "digits")
    assert markers(page, "Coupling splits") == len(tuned) == TRIALS
    page = watched.open("/lipschitz?data=digits")
    residual = recorded_trials(runs, "residual", "digits")
    places = residual.groupby(["param.family.lipschitz", "param.family.depth"]).ngroups
    assert markers(page, "Lipschitz constant and depth") == places


def recorded_trials(runs, family, data):
    mine = runs[(runs["family"] == family) & (runs["data"] == data) & (runs["stage"] == "tune")]
    return mine[mine["outcome"] == "completed"]


def chosen(page, name):
    """Open one of the choices, and return its options."""
    page.locator(f"#choose-{name}").click()
    return page.locator(".dash-dropdown-content")


def choose(page, name, option):
    chosen(page, name).get_by_text(option, exact=True).first.click()


def test_filters_change_what_is_seen_and_the_address_keeps_them(full_dashboard, opened):
    watched = opened(full_dashboard)
    page = watched.open("/trade-off")
    choose(page, "data", "moons")
    page.wait_for_url("**/trade-off?data=moons")
    page.wait_for_selector("figure:has-text('moons')")
    page.wait_for_selector("figure:has-text('digits')", state="detached")
    # What is in the address is what another person sees, and the list of views keeps it.
    shared = opened(full_dashboard).open("/" + page.url.split("/", 3)[3])
    assert shared.locator("figure:has-text('digits')").count() == 0
    page.get_by_role("link", name="Leaderboard").click()
    page.wait_for_selector("h1:has-text('Leaderboard')")
    assert parse_qs(urlsplit(page.url).query) == {"data": ["moons"]}
    page.go_back()
    page.wait_for_selector("h1:has-text('Trade-off')")
    page.wait_for_selector("figure:has-text('moons')")
    page.go_back()
    page.wait_for_selector("figure:has-text('digits')")
    assert not watched.complaints


def cells(page, column):
    """Return a column of the visible table, from top to bottom."""
    page.wait_for_selector(f".ag-row [col-id='{column}']")
    return page.evaluate(
        """column => [...document.querySelectorAll('.ag-row')]
             .sort((a, b) => a.getAttribute('row-index') - b.getAttribute('row-index'))
             .map(row => row.querySelector(`[col-id='${column}']`).textContent)""",
        column,
    )


def test_the_leaderboard_is_sorted_and_filtered(full_dashboard, opened):
    watched = opened(full_dashboard)
    page = watched.open("/leaderboard?data=digits")
    assert sorted(cells(page, "family")) == sorted(FAMILIES)
    by_speed = page.locator(".ag-header-cell[col-id='latency_ms'] .ag-header-cell-label")
    by_speed.click()
    page.wait_for_url("**order=latency_ms.asc**")
    times = [float(words) for words in cells(page, "latency_ms")]
    assert times == sorted(times)
    by_speed.click()
    page.wait_for_url("**order=latency_ms.desc**")
    times = [float(words) for words in cells(page, "latency_ms")]
    assert times == sorted(times, reverse=True)
    # The address alone brings the order back.
    again = opened(full_dashboard).open("/" + page.url.split("/", 3)[3])
    assert [float(words) for words in cells(again, "latency_ms")] == times
    condition = {"family": {"filterType": "text", "type": "contains", "filter": "no such"}}
    empty = opened(full_dashboard).open(f"/leaderboard?filters={json.dumps(condition)}")
    until(empty, "!document.querySelector('.ag-center-cols-container .ag-row')")
    assert "filters=" in empty.url
    assert not watched.complaints


def test_a_filter_that_is_typed_is_asked_of_the_server(full_dashboard, full_uri, opened):
    watched = opened(full_dashboard)
    page = watched.open("/runs")
    page.locator(".ag-header-cell[col-id='family'] .ag-header-cell-filter-button").click()
    page.locator(".ag-filter input[type=text]").first.type("sylv", delay=40)
    page.wait_for_url("**filters=**")
    until(
        page,
        "(cells => cells.length > 0 && cells.every(cell => cell.textContent === 'sylvester'))"
        "([...document.querySelectorAll(\".ag-row [col-id='family']\")])",
    )
    # Typing was not interrupted by the page.
    assert page.locator(".ag-filter input[type=text]").first.input_value() == "sylv"
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        page.locator("a.export", has_text="CSV").click()
    rows = list(csv.DictReader(download.value.path().open()))
    runs = read_runs(full_uri)
    expected = runs[(runs["family"] == "sylvester") & (runs["measures"] == "")]
    assert sorted(row["run"] for row in rows) == sorted(expected["run"])
    assert not watched.complaints


def test_hover_names_the_family_and_a_click_opens_its_run(full_dashboard, opened):
    watched = opened(full_dashboard)
    page = watched.open("/trade-off?data=digits")
    point = page.locator("figure").first.locator("path.point").first
    name = page.locator("figure").first.locator(".textpoint text").first.text_content()
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector(".hovertext")
    assert "samples/s" in page.locator(".hovertext").first.text_content()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url("**/run?**")
    page.wait_for_selector(f"h1:has-text('full.{name}.digits.confirm-')")
    assert not watched.complaints


def test_the_run_says_what_differs_from_the_defaults(full_dashboard, full_uri, opened):
    page = opened(full_dashboard).open(f"/run?run={RUN}")
    # The families are asked by a process of its own, which loads torch.
    page.wait_for_selector("text=What differs from the defaults.", timeout=60_000)
    card = page.locator(".card", has=page.locator("h2", has_text="Specification"))
    stated = {
        row.locator("td").nth(0).text_content(): [
            row.locator("td").nth(i).text_content() for i in (1, 2)
        ]
        for row in card.locator(".scroll").first.locator("tbody tr").all()
    }
    runs = read_runs(full_uri)
    recorded = runs[runs["run"] == RUN].iloc[0]
    for key, (value, default) in stated.items():
        assert value == recorded[f"param.{key}"]
        assert value != default
    assert "family.lipschitz" in stated
    link = page.get_by_role("link", name="this run")
    assert link.get_attribute("href").endswith(f"/runs/{recorded['mlflow_id']}")
    assert page.locator("figure", has_text="Inversion error against iterations").count() == 1
    assert page.locator(".panels img").count() >= 2


def test_two_ticked_runs_are_shown_side_by_side(full_dashboard, opened):
    watched = opened(full_dashboard)
    page = watched.open("/runs?data=digits&family=glow")
    page.wait_for_selector(".ag-row[row-index='1'] .ag-checkbox-input")
    names = cells(page, "run")[:2]
    for row in (0, 1):
        page.locator(f".ag-row[row-index='{row}'] .ag-checkbox-input").click()
    page.get_by_role("link", name="compare 2 runs").click()
    page.wait_for_selector("h1:has-text('Side by side')")
    watched.settled()
    assert parse_qs(urlsplit(page.url).query)["run"] == names
    assert page.locator("th", has_text=names[0]).count() >= 1
    assert not watched.complaints


def test_what_is_seen_can_be_taken_away(full_dashboard, full_uri, opened):
    watched = opened(full_dashboard)
    page = watched.open("/trade-off?data=digits")
    card = page.locator("figure").first
    with page.expect_download() as download:
        card.locator("a.export").click()
    table = pd.read_csv(download.value.path())
    assert set(table["family"]) == set(FAMILIES)
    with page.expect_download() as download:
        card.locator("button.export").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
    page = watched.open("/leaderboard?sweep=full")
    with page.expect_download(timeout=120_000) as download:
        page.get_by_role("link", name="Report").click()
    report = zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes()))
    assert "report/index.html" in report.namelist()
    assert not watched.complaints
    assert not watched.strangers


@pytest.mark.parametrize("path", [f"/{name}" for name in VIEWS])
def test_a_hostile_name_is_text(hostile_dashboard, opened, path):
    watched = opened(hostile_dashboard)
    watched.page.on("dialog", lambda dialog: pytest.fail(f"{dialog.message} was run"))
    query = f"?run={HOSTILE}.0" if path in ("/run", "/compare") else ""
    page = watched.open(path + query)
    page.wait_for_timeout(300)
    assert page.evaluate("[...document.scripts].every(s => !s.textContent.includes('alert'))")
    assert not watched.complaints
    if path in ("/leaderboard", "/run", "/failures", "/runs"):
        assert HOSTILE in page.locator("main").text_content()


def test_a_run_that_finishes_appears_without_reload(tmp_path, opened):
    record = Record(tmp_path)
    record.add(finished("nice", 1.5))
    with dashboard(record.uri) as base:
        watched = opened(base)
        page = watched.open("/leaderboard")
        assert [words.strip() for words in cells(page, "family")] == ["nice"]
        page.evaluate("window.notReloaded = true")
        record.add(finished("glow", 1.4))
        page.wait_for_selector(".ag-row:has-text('glow')")
        assert cells(page, "family") == ["glow", "nice"]
        page.wait_for_selector("#record:has-text('2 runs')")
        table = opened(base).open("/runs")
        assert len(cells(table, "run")) == 2
        record.add(finished("planar", 1.6))
        table.wait_for_selector(".ag-row:has-text('planar')")
        assert page.evaluate("window.notReloaded")
        assert not watched.complaints


def finished(family, bits):
    return RecordedRun(
        f"one.{family}", family, "digits", sweep="one", curve=[bits + 0.3, bits],
        labels={"log_det": "exact", "data": "dequantised", "inverse": "analytic"},
        metrics={"val/bits_per_dim_se": 0.01, "val/nats": -bits * 64 * 0.693147},
    )  # fmt: skip


def test_the_first_reading_shows_how_far_it_is(tmp_path, opened, monkeypatch):
    """A record that takes long to read: its reader is slowed down, all else is real."""
    from flowbench.tracking.mirror import Mirror

    record = Record(tmp_path)
    record.add(finished("nice", 1.5))
    whole = Mirror.synchronise

    def slowly(self, progress=None):
        progress(3, 12)
        time.sleep(4)
        whole(self, progress)

    monkeypatch.setattr(Mirror, "synchronise", slowly)
    with dashboard(record.uri) as base:
        page = opened(base).page
        page.goto(f"{base}/leaderboard")
        page.wait_for_selector("text=reading the record: 3 of 12 runs")
        page.wait_for_selector(".ag-row:has-text('nice')", timeout=30_000)
