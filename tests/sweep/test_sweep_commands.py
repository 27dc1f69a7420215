"""`flowbench sweep`, as a person types it: real trials, real families, the smallest sweep."""

import json
import subprocess
import sys

import pytest
from stand_in_sweep import home_at

from flowbench.tracking.reader import read_runs
from flowbench.tracking.store import default_tracking_uri

TINY = """
name: tiny
data: [{name: moons, train_size: 512}]
search: {training.learning_rate: {log: [1e-3, 1e-2]}}
families:
  planar: {fixed: {family.depth: 2}}
training: {batch_size: 256, warmup_steps: 1}
evaluation: {speed_batches: [1, 8], inversion_points: 16, samples: 8}
budget: {per_trial: 2, trials: 1}
confirm: {seeds: 1}
"""


def flowbench(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "flowbench.cli", *map(str, arguments)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    with home_at(tmp_path_factory.mktemp("commands")) as home:
        file = home.path / "tiny.yaml"
        file.write_text(TINY)
        yield home, flowbench("sweep", "run", file)


def test_run_tunes_confirms_measures_and_says_what_comes_next(swept):
    _, done = swept
    assert done.returncode == 0, done.stderr
    assert "[1/2] tiny.planar.moons.0000 completed val/bits_per_dim" in done.stdout
    assert "[2/2] tiny.planar.moons.confirm-0 completed" in done.stdout
    assert done.stdout.strip().endswith("next: flowbench report tiny")
    record = read_runs(default_tracking_uri(), "tiny").set_index("stage")
    assert record.loc["confirm", "test/bits_per_dim"] > 0
    assert record.loc["speed", "measures"] == "tiny.planar.moons.confirm-0"
    assert any(
        name.startswith("sampling/b1/") and record.loc["speed", name] > 0 for name in record.columns
    )


def test_status_counts_by_outcome_for_people_and_programs(swept):
    said = flowbench("sweep", "status", "tiny")
    assert said.returncode == 0, said.stderr
    assert "finished" in said.stdout
    state = json.loads(flowbench("sweep", "status", "tiny", "--json").stdout)
    assert state["counts"] == {
        "tune": {"completed": 1}, "confirm": {"completed": 1}, "speed": {"completed": 1}
    }  # fmt: skip
    assert (state["state"], state["driver"], state["running"]) == ("finished", None, [])


def test_resuming_a_finished_sweep_runs_nothing_again(swept):
    home, _ = swept
    before = {p: p.stat().st_mtime for p in home.path.rglob("result.json")}
    done = flowbench("sweep", "resume", "tiny")
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime for p in home.path.rglob("result.json")} == before


def test_compare_and_report_read_what_the_sweep_recorded(swept):
    home, _ = swept
    shown = flowbench("compare", "tiny")
    assert shown.returncode == 0, shown.stderr
    assert "planar" in shown.stdout
    parsed = json.loads(flowbench("compare", "tiny", "--json").stdout)
    (row,) = parsed["leaderboard"]
    assert (row["family"], row["split"], row["seeds"]) == ("planar", "test", 1)
    assert row["excess"] > 0
    assert row["speed_alone"] == "yes"
    lines = flowbench("compare", "tiny", "--csv").stdout.splitlines()
    assert len(lines) == 2
    done = flowbench("report", "tiny")
    page = home.path / "reports" / "tiny" / "index.html"
    assert done.stdout.strip() == f"report: {page}"
    assert "On moons, planar has" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep", "resume", "nowhere"], "nowhere: no such sweep under"),
        (["sweep", "status", "nowhere"], "nowhere: no such sweep under"),
        (["compare", "nowhere"], "nowhere: no run of such a sweep in the record; sweeps: tiny"),
        (["report", "nowhere"], "nowhere: no run of such a sweep in the record; sweeps: tiny"),
        (["compare", "tiny", "--json", "--csv"], "--json and --csv"),
        (["compare", "--tracking-uri", "sqlite:///no.db"], "sqlite:///no.db: no such record"),
        (["sweep", "run", "nowhere.yaml"], "nowhere.yaml: no such file"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(swept, arguments, said):
    done = flowbench(*arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("family.depth: 2", "family.dept: 2", "family.dept: unknown key (did you mean depth?)"),
        ("family.depth: 2", "family.depth: 0", "family.depth = 0: input should be greater"),
        ("planar: {", "plannar: {", "family.name = 'plannar': allowed: "),
        ("name: moons", "name: suns", "data.name = 'suns'"),
    ],
)
def test_what_a_family_or_the_data_refuse_is_refused_before_anything_starts(
    swept, tmp_path, was, becomes, said
):
    home, _ = swept
    file = tmp_path / "wrong.yaml"
    file.write_text(TINY.replace("name: tiny", "name: fresh").replace(was, becomes))
    done = flowbench("sweep", "run", file)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(home.path.glob("fresh.*"))
    assert not (home.path / "fresh" / "sweep.json").exists()


def test_a_changed_file_under_an_old_name_is_refused(swept, tmp_path):
    file = tmp_path / "changed.yaml"
    file.write_text(TINY.replace("per_trial: 2", "per_trial: 3"))
    done = flowbench("sweep", "run", file)
    assert done.returncode == 2
    assert "name = 'tiny': a sweep of this name exists with other contents" in done.stderr
