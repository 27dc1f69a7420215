"""Sweeps and runs from the command line: rehearsed, stopped, listed, removed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from stand_in_sweep import home_at, tiny_sweep

from flowbench.cli.app import main
from flowbench.errors import RunFailed
from flowbench.run_directory import RunDirectory, TrialResult
from flowbench.sweep import sweep_status
from flowbench.sweep.directory import SweepDirectory
from flowbench.sweep.estimate import estimate
from flowbench.sweep.halting import stop_sweep
from flowbench.tracking.reader import read_runs, read_sweeps
from flowbench.tracking.store import default_tracking_uri

ONE = {
    "families": {"nice": {}}, "budget": {"per_trial": 1, "trials": 1}, "confirm": {"seeds": 1},
}  # fmt: skip
PATIENCE = 60


@pytest.fixture
def flowbench(capsys, monkeypatch):
    """Run a command in this process; return its exit code and what it said."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["flowbench", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return int(stop.value.code or 0), " ".join((said.out + said.err).split())

    return call


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """A sweep, and one that takes its results over."""
    with home_at(tmp_path_factory.mktemp("twins")) as home:
        for name in ("first", "second"):
            home.run(tiny_sweep(name, **ONE))
        yield home


def test_runs_are_listed_with_how_they_ended(twins, flowbench):
    code, said = flowbench("runs", "list", "first", "--json")
    assert code == 0
    runs = json.loads(said)
    result = twins.runs("first")["first.nice.moons.confirm-0"].result()
    assert [(run["id"], run["stage"], run["family"], run["data"]) for run in runs] == [
        ("first.nice.moons.0000", "tune", "nice", "moons"),
        ("first.nice.moons.confirm-0", "confirm", "nice", "moons"),
    ]
    assert runs[1]["outcome"] == "completed"
    assert runs[1]["bits_per_dim"] == result.metrics["test/bits_per_dim"]
    code, said = flowbench("runs", "list")
    assert code == 0
    assert said.startswith("4 runs")
    assert f"{result.metrics['test/bits_per_dim']:.4f}" in said


def test_nothing_is_removed_that_is_still_needed(twins, flowbench):
    page = twins.path / "reports" / "second" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.touch()
    before = sorted(twins.runs("*"))
    for names, said in [
        (["first.nice.moons.0000"], "first.nice.moons.0000 is a part of the sweep first"),
        (["first"], "second.nice.moons.0000 goes by the result of first.nice.moons.0000"),
        (["second"], f"second.nice.moons.0000 is in the report {page}"),
    ]:
        assert flowbench("runs", "rm", *names) == (
            2, f"flowbench: {said}; --force removes it all the same"
        )  # fmt: skip
    assert flowbench("runs", "rm", "first", "third") == (
        2, f"flowbench: third: neither a run nor a sweep under {twins.path}"
    )  # fmt: skip
    with SweepDirectory(twins.path / "first").locked():
        code, said = flowbench("runs", "rm", "first", "--force")
        assert (code, said) == (2, f"flowbench: first is being run by process {os.getpid()}")
    assert sorted(twins.runs("*")) == before
    page.unlink()


def test_a_sweep_is_removed_whole_and_its_name_is_free_again(runs_home, flowbench):
    for name in ("first", "other"):
        runs_home.run(tiny_sweep(name, **ONE, seed=1))
    code, said = flowbench("runs", "rm", "first", "--force")
    assert (code, said) == (0, "removed sweep first and 2 runs")
    assert runs_home.runs("first") == {}
    assert not (runs_home.path / "first").exists()
    assert set(read_runs(default_tracking_uri())["sweep"]) == {"other"}
    assert set(read_sweeps(default_tracking_uri())["sweep"]) == {"other"}
    storage = f"sqlite:///{runs_home.path / 'optuna.db'}"
    assert optuna.get_all_study_names(storage) == ["other/nice/moons"]

    status = runs_home.run(tiny_sweep("first", **ONE, seed=2))  # other contents
    assert status.counts["tune"] == {"completed": 1}
    assert len(read_runs(default_tracking_uri(), "first")) == 3


def test_a_run_may_go_with_its_report_or_when_forced(runs_home, flowbench):
    runs_home.run(tiny_sweep("first", **ONE))
    (runs_home.path / "reports" / "all").mkdir(parents=True)
    page = runs_home.path / "reports" / "all" / "index.html"
    page.touch()
    os.utime(page, (1, 1))  # of before the run
    name = "first.nice.moons.confirm-0"
    assert "is a part of" in flowbench("runs", "rm", name)[1]
    assert flowbench("runs", "rm", name, "--force") == (0, "removed 1 run")
    assert list(runs_home.runs("first")) == ["first.nice.moons.0000"]
    # Its later measurement went with it.
    assert list(read_runs(default_tracking_uri())["run"]) == ["first.nice.moons.0000"]


def earlier_run(home, sweep, family, result, size):
    """Write a finished run of a family of the sweep, as an earlier sweep would have left it."""
    spec = sweep.run_spec(family, sweep.data[0], {}, model_seed=len(list(home.iterdir())),
                          split="validation")  # fmt: skip
    run = RunDirectory(home / f"earlier-{spec.hash}")
    run.write_spec(spec)
    attempt = run.attempt(0)
    attempt.create()
    attempt.model.write_bytes(b"x" * size)
    attempt.write_result(result)


def test_time_and_disk_are_estimated_from_earlier_runs_of_the_same_family_and_data(runs_home):
    sweep = tiny_sweep(budget={"per_trial": 30, "trials": 4}, confirm={"seeds": 2})
    for seconds, size in ((15.0, 10_000_000), (25.0, 30_000_000), (95.0, 20_000_000)):
        # 5 s to start and to measure, the rest for ten epochs.
        result = TrialResult(
            outcome="completed", epochs=10, seconds=seconds, device_seconds=seconds - 5
        )
        earlier_run(runs_home.path, sweep, "nice", result, size)
    lost = TrialResult(outcome="lost", epochs=1, seconds=1e6, device_seconds=1e6)
    earlier_run(runs_home.path, sweep, "glow", lost, 10)
    nice, glow = estimate(sweep).cells
    assert nice.seconds == pytest.approx(5 + 3 * 20)
    assert nice.bytes == pytest.approx(20_000_000, rel=0.01)
    assert (glow.seconds, glow.bytes) == (None, None)
    assert (nice.tune, nice.confirm) == (4, 2)
    assert estimate(sweep).seconds == pytest.approx(6 * 65 / 2)  # two slots
    assert [cell.family for cell in estimate(sweep).unknown] == ["glow"]

    budget = {"unit": "device_seconds", "per_trial": 40, "trials": 4}
    assert estimate(tiny_sweep(budget=budget)).cells[0].seconds == pytest.approx(45)


SWEEP = """
name: rehearsed
data: [{name: moons, train_size: 256}]
families: {planar: {search: {family.depth: [1, 2]}}, nice: {fixed: {family.depth: 2}}}
sampler: grid
budget: {unit: epochs, per_trial: 2}
confirm: {seeds: 3}
"""


def test_a_dry_run_tells_what_a_sweep_takes_and_writes_nothing(runs_home, flowbench):
    file = runs_home.path / "sweep.yaml"
    file.write_text(SWEEP)
    before = sorted(runs_home.path.rglob("*"))
    code, said = flowbench("sweep", "run", file, "--dry-run")
    assert code == 0, said
    assert "budget: every point of the grid for each family and data set, 2 epochs" in said
    unknown = "time and disk are unknown, for no earlier run of these is here to go by"
    # Two depths of planar, nice as it is, and three seeds of each.
    assert said.endswith(f"8 runs on one slot: {unknown}")
    assert sorted(runs_home.path.rglob("*")) == before


def test_a_sweep_is_stopped_by_its_name_and_goes_on(runs_home, flowbench):
    families = {"nice": {"fixed": {"family.behave": "slow"}}}
    sweep = tiny_sweep(families=families, budget={"per_trial": 1, "trials": 1})
    file = runs_home.path / "sweep.json"
    file.write_text(sweep.model_dump_json())
    here = Path(__file__)
    driver = subprocess.Popen(
        [sys.executable, str(here.with_name("drive.py")), str(file)],
        env={**os.environ, "PYTHONPATH": str(here.parents[1])},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + PATIENCE
    while not runs_home.started() and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    code, said = flowbench("sweep", "status", "tiny")
    assert (code, "1 of 2 slots in use" in said) == (0, True)
    code, said = flowbench("sweep", "stop", "tiny")
    assert (code, said) == (
        0, f"stopped: process {driver.pid} to go on: flowbench sweep resume tiny"
    )  # fmt: skip
    out, _ = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 143, out
    assert sweep_status("tiny").counts["tune"] == {"interrupted": 1}

    (runs_home.path / "go").touch()
    assert runs_home.run(sweep).state == "finished"  # the old wish is forgotten
    code, said = flowbench("sweep", "stop", "tiny")
    assert code == 0
    assert "no driver is seen from here" in said


def test_a_driver_that_does_not_stop_is_told_of(runs_home):
    runs_home.run(tiny_sweep(**ONE))
    with (
        SweepDirectory(runs_home.path / "tiny").locked(),
        pytest.raises(RunFailed, match=f"process {os.getpid()} has not stopped after 0 s"),
    ):
        stop_sweep("tiny", patience=0.2)


def test_the_front_of_two_objectives_is_shown_without_what_breaks_a_limit(runs_home, flowbench):
    names = "val/bits_per_dim", "rough/milliseconds_per_sample", "inversion/flow/xzx/max"
    points = [(3.0, 1.0, 0.0), (1.0, 4.0, 0.0), (2.0, 2.0, 0.0), (4.0, 0.5, 1.0), (5.0, 1.5, 0.0)]
    measured = [dict(zip(names, point, strict=True)) for point in points]
    sweep = tiny_sweep(
        families={"nice": {"search": {"family.measured": measured}}},
        search={"training.learning_rate": [1e-3]}, sampler="grid", budget={"per_trial": 1},
        confirm={"seeds": 0}, objectives=["bits_per_dim", "sampling_time"],
        constraints={"inversion_error": 1e-3},
    )  # fmt: skip
    status = runs_home.run(sweep)
    shown = [(t.bits_per_dim, t.milliseconds_per_sample) for t in status.front]
    assert shown == [(1.0, 4.0), (2.0, 2.0), (3.0, 1.0)]
    assert "no other trial is better in both" in flowbench("sweep", "status", "tiny")[1]
    studied = {t.number for t in optuna.load_study(
        study_name="tiny/nice/moons", storage=f"sqlite:///{runs_home.path / 'optuna.db'}"
    ).best_trials}  # fmt: skip
    assert {int(t.run.rsplit(".", 1)[1]) for t in status.front} == studied
