"""What is shown while trials run, in a terminal and in a log file."""

import io
import re
from datetime import datetime, timedelta

import pytest
from rich.console import Console
from stand_in_sweep import tiny_sweep

from flowbench.run_directory import RunDirectory, TrialResult
from flowbench.sweep import progress as module
from flowbench.sweep.progress import Progress
from flowbench.sweep.work import Work
from flowbench.tracking.provenance import Provenance


@pytest.fixture
def work(tmp_path):
    sweep = tiny_sweep()
    spec = sweep.run_spec("nice", sweep.data[0], {}, model_seed=0, split="validation")
    return Work(RunDirectory(tmp_path / "a.nice.0001"), spec, Provenance())


def go_through(console, work):
    with Progress("sweep a", expected=40, console=console, done=10) as progress:
        progress.started(work, attempt=1)
        progress.event(work, {"kind": "stage", "stage": "training"})
        metrics = {"val/bits_per_dim": 2.34567}
        progress.event(work, {"kind": "validation", "epoch": 3, "metrics": metrics})
        progress.tick()
        progress.tick()
        metrics = {"val/bits_per_dim": 2.25, "val/nats": 9.0}
        progress.ended(work, TrialResult(outcome="completed", metrics=metrics, seconds=61.0))
        progress.ended(work, TrialResult(outcome="diverged", reason="the loss is [NaN]"))
        progress.started(work, attempt=0)
        progress.tick()
    return console.file.getvalue()


def test_a_log_file_gets_a_dated_line_for_each_end_and_nothing_else(work):
    said = go_through(Console(file=io.StringIO(), width=40), work).splitlines()
    times = [line[:8] for line in said]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", time) for time in times)
    assert [line[9:] for line in said] == [
        "[11/40] a.nice.0001 completed val/bits_per_dim 2.2500 61 s",
        "[12/40] a.nice.0001 diverged: the loss is [NaN]",
    ]


def test_a_long_silence_in_a_log_file_is_broken_by_what_runs(work, monkeypatch):
    monkeypatch.setattr(module, "SILENT_SECONDS", -1.0)
    said = go_through(Console(file=io.StringIO(), width=40), work).splitlines()
    running = "a.nice.0001 (attempt 1) (training, epoch 3, 2.3457)"
    assert said[1].endswith(f"sweep a: 10 of 40 runs: {running}")
    assert re.search(r"sweep a: 12 of 40 runs, expected to end about .*\d\d:\d\d: a.nice", said[-1])


def test_the_end_is_expected_by_what_has_been_done_of_runs_too(work, monkeypatch):
    monkeypatch.setattr(module, "SILENT_SECONDS", -1.0)
    clock, console = [0.0], Console(file=io.StringIO(), width=40)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    with Progress("sweep a", expected=3, console=console) as progress:
        progress.started(work, attempt=0)
        clock[0] = 1200.0
        progress.ended(work, TrialResult(outcome="completed", seconds=1200.0))
        progress.started(work, attempt=0)
        clock[0] = 2100.0
        before = datetime.now()
        progress.tick()
    # Three quarters of the second and the whole third are left: 1.25 runs of 1200 s.
    *_, said = re.findall(r"expected to end about (.*\d\d:\d\d):", console.file.getvalue())
    ends = {f"{before + timedelta(seconds=1500 + late):%d %b %H:%M}" for late in (0, 30)}
    assert said in ends


def test_a_terminal_shows_a_table_of_what_runs(work, monkeypatch):
    monkeypatch.setattr(module, "REFRESH_SECONDS", -1.0)
    terminal = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    said = go_through(terminal, work)
    assert "sweep a: 10 of 40 runs, 0:00" in said
    assert re.search(r"a\.nice\.0001 \(attempt 1\) +training +3 +2\.3457", said)
    assert "[11/40] a.nice.0001 completed val/bits_per_dim 2.2500 61 s" in said
