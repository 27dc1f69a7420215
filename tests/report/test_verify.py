"""A report that was written is held against the record it was written from."""

import re
import shutil
import sys

import pytest
from synthetic_record import Record, RecordedRun

from flowbench.cli import main
from flowbench.errors import InputError
from flowbench.report.page import write_report
from flowbench.report.verify import differences

pytestmark = pytest.mark.xdist_group("full-report")


@pytest.fixture
def flowbench(monkeypatch):
    """Run the command line, and return the exit code."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["flowbench", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    return run


@pytest.fixture
def copy(full, tmp_path):
    return shutil.copytree(full, tmp_path / "copy")


def change(path, pattern, replacement):
    """Replace the first match, and be sure that there is one."""
    text = path.read_text(encoding="utf-8")
    changed = re.sub(pattern, replacement, text, count=1)
    assert changed != text
    path.write_text(changed, encoding="utf-8")


def test_every_kind_of_change_is_found_and_named(copy, full_uri):
    mean = r"(\d)\.(\d{4}) ± "
    change(copy / "index.html", mean, r"\1.0000 ± ")  # the summary
    leaderboard = r'(data-table="2-digits-leaderboard".*?<td class="number best">)[\d.]+'
    change(copy / "index.html", f"(?s){leaderboard}", r"\g<1>1.9999")
    change(copy / "index.html", '(?s)(data-table="flags".*?<tbody>\n)<tr>.*?</tr>\n', r"\1")
    change(copy / "leaderboard.csv", "realnvp", "realnvq")
    change(copy / "tables" / "2-digits-inversion.csv", r"CPU cores,[\d.e-]+", "CPU cores,0.5")
    change(copy / "figures" / "2-digits-splits.csv", r"\n.*\n", "\n")
    change(copy / "leaderboard.md", "glow", "gl0w")
    change(copy / "leaderboard.tex", "glow", "gl0w")
    (copy / "measures.tex").unlink()
    found = list(differences(full_uri, str(copy)))

    def said(start):
        return [sentence for sentence in found if sentence.startswith(start)]

    assert "column sentence: the report has" in said("index.html, table summary, row")[0]
    (cell,) = said("index.html, table 2-digits-leaderboard")
    assert re.search(
        r"row 1 \(realnvp\), column bits/dim: the report has 1\.9999 ± [\d.]+, the record gives"
        r" 2\.\d+ ± [\d.]+$",
        cell,
    )
    assert any("the report has nothing" in s for s in said("index.html, table flags"))
    (family,) = said("leaderboard.csv, row")
    assert family.endswith("column family: the report has realnvq, the record gives realnvp")
    (error,) = said("tables/2-digits-inversion.csv, row 1 (realnvp, flow/xzx)")
    assert "the report has 0.5, the record gives 8" in error
    assert said("figures/2-digits-splits.csv, row")
    assert said("leaderboard.md, row")
    assert said("leaderboard.tex, row")
    assert said("measures.tex, columns") or said("measures.tex, row 1")
    files = ("index.html", "leaderboard.", "tables/", "figures/2-digits-splits", "measures.tex")
    assert all(sentence.startswith(files) for sentence in found)


def test_what_was_written_is_what_the_record_gives_in_whatever_order_it_is_summed(copy, full_uri):
    path = copy / "leaderboard.csv"
    text = path.read_text()
    number = re.search(r"2\.0\d{12,}", text)[0]
    path.write_text(text.replace(number, f"{float(number) * (1 + 1e-13):.17g}"))
    assert path.read_text() != text
    assert not list(differences(full_uri, str(copy)))


def test_the_command_fails_with_one_sentence(flowbench, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path))
    record = Record(tmp_path)
    about = {"test/bits_per_dim": 1.25, "test/nats": -1.73, "test/gain_over_gaussian": 0.5}
    labels = {"log_det": "exact", "data": "density", "inverse": "analytic"}
    record.add(RecordedRun(
        "demo.nice.moons.confirm-0", "nice", "moons", stage="confirm", labels=labels, metrics=about
    ))  # fmt: skip
    command = ["report", "--tracking-uri", record.uri]
    write_report(record.uri, "demo")
    for written in ("demo", str(tmp_path / "reports" / "demo")):  # by the sweep's name, and by path
        assert flowbench(*command, "--verify", written) == 0
        assert "every table is what the record gives" in capsys.readouterr().out
    change(tmp_path / "reports" / "demo" / "leaderboard.csv", "1.25", "1.15")
    assert flowbench(*command, "--verify", "demo") == 1
    said = capsys.readouterr().out
    assert said == (
        "demo: leaderboard.csv, row 1 (moons, nice), column bits_per_dim: the report has 1.15, the"
        " record gives 1.25\n"
    )
    record.add(RecordedRun("demo.glow.moons.0000", "glow", "moons", outcome="diverged"))
    assert flowbench(*command, "--verify", "demo") == 1  # what is new in the record is missing
    assert "more differences)" in capsys.readouterr().out


def test_where_there_is_no_report_it_says_so(tmp_path, full_uri):
    with pytest.raises(InputError, match=r"no report there; give a directory with index\.html"):
        list(differences(full_uri, str(tmp_path)))
