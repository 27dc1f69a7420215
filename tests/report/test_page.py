"""The report as a reader, a paper and a program get it."""

import base64
import csv
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from synthetic_record import FAMILIES, HOSTILE, HOSTILE_MARKDOWN, HOSTILE_TEX, Record, RecordedRun

from flowbench.compare.leaderboard import leaderboard_table
from flowbench.compare.runs import load
from flowbench.errors import InputError
from flowbench.report.page import write_report
from flowbench.report.verify import differences


class Page(HTMLParser):
    """What a browser makes of a page: its elements, its addresses and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = {name: value or "" for name, value in attrs}
        self.elements.append((tag, values))
        self._open.append(tag)
        if tag == "script":
            self.scripts.append((values, ""))

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif not self._open or self._open[-1] != "style":
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def demo(demo_uri, tmp_path_factory):
    page = write_report(demo_uri, "demo", tmp_path_factory.mktemp("report"))
    return page.parent, page.read_text()


@pytest.fixture(scope="module")
def hostile(hostile_uri, tmp_path_factory):
    page = write_report(hostile_uri, None, tmp_path_factory.mktemp("hostile-report"))
    return page.parent, page.read_text()


def test_the_page_asks_for_nothing_outside_itself(demo):
    page = Page(demo[1])
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            if name in attributes:
                assert attributes[name].startswith(("data:", "#")), (tag, attributes[name])
    assert not page.all("link")
    styles = re.findall(r"<style>(.*?)</style>", demo[1], re.DOTALL)
    assert styles
    assert not any("url(" in style or "@import" in style for style in styles)
    ours = [text for attributes, text in page.scripts if "Plotly.react" in text and len(text) < 1e5]
    assert len(ours) == 1
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|https?:", ours[0])


def test_every_family_and_data_set_is_answered_ranked_and_drawn(demo):
    _, html = demo
    page = Page(html)
    words = " ".join(page.text)
    assert "On digits, realnvp has the lowest bits/dim" in words
    assert "On moons, realnvp has the largest gain over the Gaussian" in words
    plots = json.loads(
        next(text for attributes, text in page.scripts if attributes.get("id") == "plots")
    )
    kinds = ("likelihood", "trade-off", "curves", "best-after-trials")
    drawn = {f"{i}-{d}-{k}" for i, d in ((1, "digits"), (2, "moons")) for k in kinds}
    assert set(plots) == {"overview-sampling-against-dimension", *drawn}
    assert {div["id"] for div in page.all("div") if "id" in div} == set(plots)
    for name, plot in plots.items():
        drawn = {trace["name"] for trace in plot["data"]} - {"Pareto front"}
        assert drawn == set(FAMILIES), name
    for data, measure in (
        ("1-digits", "bits per dimension"),
        ("2-moons", "gain over the Gaussian"),
    ):
        assert measure in plots[f"{data}-likelihood"]["layout"]["xaxis"]["title"]["text"]


def test_numbers_in_the_figures_are_those_of_the_leaderboard(demo, demo_uri):
    table = leaderboard_table(load(demo_uri, "demo")).set_index(["data", "family"])
    page = Page(demo[1])
    plots = json.loads(next(t for a, t in page.scripts if a.get("id") == "plots"))
    for trace in plots["1-digits-trade-off"]["data"][1:]:
        row = table.loc["digits", trace["name"]]
        assert numbers(trace["y"]) == pytest.approx([row["bits_per_dim"]])
        assert numbers(trace["x"]) == pytest.approx([row["speed_b1024"]])


def numbers(value):
    """Plotly writes arrays of numbers as base64."""
    if isinstance(value, dict):
        return list(np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"]))
    return value


def test_samples_of_every_family_stand_beside_the_data(demo):
    page = Page(demo[1])
    pictures = [image for image in page.all("img") if image["src"].startswith("data:image/png")]
    assert [image["alt"] for image in pictures] == ["data", *FAMILIES] * 2
    for image in pictures:
        content = base64.b64decode(image["src"].partition(",")[2])
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
        assert min(pixels.shape) > 100
        assert pixels.std() > 5  # something is drawn


def test_without_scripts_the_still_figures_show(demo):
    page = Page(demo[1])
    assert "<noscript><style>figure .screen { display: none } figure .paper { display" in demo[1]
    stills = [image for image in page.all("img") if image.get("class") == "paper"]
    assert len(stills) == 6
    for image in stills:
        svg = base64.b64decode(image["src"].partition(",")[2]).decode()
        assert "<svg" in svg
        assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"|<!DOCTYPE[^>]*>', "", svg)


def test_failures_are_listed_with_their_reasons_and_counted(demo):
    words = re.sub(r"\s+", " ", " ".join(Page(demo[1]).text))
    assert "Of 75 runs: 72 completed, 1 diverged, 1 out of memory, 1 pruned." in words
    assert "the loss is not finite at epoch 4" in words
    assert "the allocator could not give 2.1 GB" in words
    assert "out of memory" in words
    ledger = demo[1].partition('id="failures"')[2].partition('id="protocol"')[0]
    assert ledger.count("<tr>") == 1 + 2  # a head and two failures: the pruned run is none


def test_the_markdown_twin_has_the_leaderboard_and_the_flags(demo):
    text = (demo[0] / "leaderboard.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 * (2 + len(FAMILIES))
    assert len({line.count("|") for line in rows[: 2 + len(FAMILIES)]}) == 1
    assert "fewer rows than 20 a dimension" in text
    assert "**1**" not in text  # a rank is no result


def test_the_latex_twin_is_balanced(demo):
    text = (demo[0] / "leaderboard.tex").read_text()
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 2
    bodies = re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, re.DOTALL)
    for form, body in bodies:
        rows = [line for line in body.splitlines() if line.strip().endswith(r"\\")]
        assert len(rows) == 1 + len(FAMILIES)
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(form)}


def test_the_csv_twins_hold_every_number_in_full(demo, demo_uri):
    table = leaderboard_table(load(demo_uri, "demo"))
    rows = list(csv.DictReader(io.StringIO((demo[0] / "leaderboard.csv").read_text())))
    assert [float(row["bits_per_dim"]) for row in rows] == list(table["bits_per_dim"])
    drawn = sorted(path.name for path in (demo[0] / "figures").iterdir())
    sections = ("1-digits", "2-moons")
    twice = [f"{d}-{k}" for d in sections for k in ("curves", "likelihood", "trade-off")]
    once = [*(f"{d}-best-after-trials" for d in sections), "overview-sampling-against-dimension"]
    files = [f"{name}.{kind}" for name in twice for kind in ("csv", "png", "svg")]
    assert drawn == sorted([*files, *(f"{name}.csv" for name in once)])
    curve = list(csv.DictReader((demo[0] / "figures" / "1-digits-curves.csv").open()))
    assert len({row["run"] for row in curve}) == 6 * 3


def test_the_same_record_gives_the_same_report(demo, demo_uri, tmp_path):
    write_report(demo_uri, "demo", tmp_path)
    for name in ("leaderboard.md", "leaderboard.tex", "figures/2-moons-trade-off.svg"):
        assert (tmp_path / name).read_bytes() == (demo[0] / name).read_bytes()


def test_hostile_names_are_text_and_nothing_else(hostile):
    _, html = hostile
    page = Page(html)
    # Four scripts of ours: the figures' data, Plotly, our drawing, and nothing that a name brought.
    assert len(page.scripts) == 3
    assert not any(text.strip().startswith("alert") for _, text in page.scripts)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert HOSTILE in " ".join(page.text)
    plots = next(text for attributes, text in page.scripts if attributes.get("id") == "plots")
    assert "<" not in plots
    names = {trace.get("name") for plot in json.loads(plots).values() for trace in plot["data"]}
    assert not any("<script" in (name or "") for name in names)


def test_hostile_names_are_escaped_for_paper_and_markdown(hostile):
    directory, _ = hostile
    tex = (directory / "leaderboard.tex").read_text()
    assert r"\input" not in tex
    assert r"\textbackslash{}input\{/etc/passwd\}" in tex
    assert "50\\%\\_of \\& \\$x\\textasciicircum{}2\\$" in tex
    markdown = (directory / "leaderboard.md").read_text()
    assert "<script" not in markdown
    assert "](javascript" not in markdown.replace("\\]", "")
    assert HOSTILE_MARKDOWN not in markdown
    assert HOSTILE_TEX not in tex


def test_a_sweep_that_is_named_like_a_script_stays_text_and_in_its_place(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "home"))
    record = Record(tmp_path)
    name = f"../{HOSTILE}"
    record.add(RecordedRun("a", "nice", "moons", sweep=name, outcome="diverged"))
    path = write_report(record.uri, name)
    assert path.parent.parent == tmp_path / "home" / "reports"
    page = Page(path.read_text())
    assert name in page.text
    assert not any("alert" in text for _, text in page.scripts)
    (meta,) = [m for m in page.all("meta") if m.get("name") == "flowbench-sweep"]
    assert meta["content"] == name
    assert not list(differences(record.uri, name))


def test_a_sweep_in_which_everything_failed_is_still_reported(tmp_path):
    record = Record(tmp_path)
    record.add(RecordedRun("s.nice.moons.0000", "nice", "moons", outcome="diverged", reason="NaN"))
    page = write_report(record.uri, "demo", tmp_path / "out")
    words = " ".join(Page(page.read_text()).text)
    assert "No run has finished yet" in words
    assert "diverged" in words
    assert "no finished run of nice" in words


def test_an_empty_record_and_none_at_all_are_said_in_a_sentence(tmp_path):
    record = Record(tmp_path)
    with pytest.raises(InputError, match="the record has no runs yet"):
        write_report(record.uri, None, tmp_path / "out")
    with pytest.raises(InputError, match="no such record"):
        write_report(f"sqlite:///{tmp_path / 'nowhere.db'}", None, tmp_path / "out")
    assert not (tmp_path / "nowhere.db").exists()


def test_the_report_lies_under_the_home_directory_by_default(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path))
    record = Record(tmp_path)
    record.add(RecordedRun("demo.nice.moons.0000", "nice", "moons", outcome="diverged"))
    assert write_report(record.uri, "demo") == tmp_path / "reports" / "demo" / "index.html"
    assert write_report(record.uri) == tmp_path / "reports" / "all" / "index.html"
