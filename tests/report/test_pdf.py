"""Printing needs a browser, and says where there is none."""

import sys

import pytest
from synthetic_record import Record, RecordedRun

from flowbench.cli import main
from flowbench.report import pdf


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path))
    record = Record(tmp_path)
    record.add(RecordedRun("demo.nice.moons.0000", "nice", "moons", outcome="diverged"))
    return record


def report(monkeypatch, record, *options):
    words = ["flowbench", "report", "demo", "--tracking-uri", record.uri, *options]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_without_a_browser_the_page_is_written_and_the_pdf_said_to_be_missing(
    record, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pdf.browser() is None
    assert report(monkeypatch, record) == 0
    said = capsys.readouterr().out
    assert f"report: {tmp_path / 'reports' / 'demo' / 'index.html'}" in said
    assert "no PDF: no browser of the Chromium family is installed" in said
    assert report(monkeypatch, record, "--no-pdf") == 0
    assert "PDF" not in capsys.readouterr().out
    assert report(monkeypatch, record, "--pdf") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_browser_that_prints_nothing_is_said_to(record, monkeypatch, tmp_path, capsys):
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert pdf.browser() == str(program)
    assert report(monkeypatch, record) == 0
    assert f"no PDF: {program} did not print the page" in capsys.readouterr().out
