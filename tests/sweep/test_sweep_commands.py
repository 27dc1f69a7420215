"""`flowbench sweep`, as a person types it: real trials, real families, the smallest sweep."""

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest
from stand_in_sweep import home_at

from flowbench.cli.app import main
from flowbench.errors import InputError
from flowbench.spec.files import load
from flowbench.spec.sweep import read_sweep
from flowbench.sweep.resolving import question
from flowbench.tracking.reader import read_runs
from flowbench.tracking.store import default_tracking_uri
from flowbench.trial.resolve import answer

TINY = """
name: tiny
data: [{name: moons, train_size: 512}]
search: {training.learning_rate: {log: [1e-3, 1e-2]}}
families:
  planar: {fixed: {family.depth: 2}}
training: {batch_size: 256, warmup_steps: 1}
evaluation: {speed_batches: [1, 8], inversion_points: 16, samples: 8}
budget: {per_trial: 2, trials: 1}
confirm: {seeds: 1, protocol: full}
"""


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def flowbench(capsys, monkeypatch):
    """The program, in this process: its imports are paid once."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["flowbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return Done(int(stop.value.code or 0), said.out, said.err)

    return call


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep run as a person does it, and its home."""
    with home_at(tmp_path_factory.mktemp("commands")) as home:
        file = home.path / "tiny.yaml"
        file.write_text(TINY)
        done = subprocess.run(
            [sys.executable, "-m", "flowbench.cli", "sweep", "run", str(file)],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        yield home, Done(done.returncode, done.stdout, done.stderr)


def test_run_tunes_confirms_measures_and_says_what_comes_next(swept):
    _, done = swept
    assert done.code == 0, done.err
    assert "[1/2] tiny.planar.moons.0000 completed val/bits_per_dim" in done.out
    assert "[2/2] tiny.planar.moons.confirm-0 completed" in done.out
    assert done.out.strip().endswith("next: flowbench report tiny")
    record = read_runs(default_tracking_uri(), "tiny").set_index("stage")
    assert record.loc["confirm", "test/bits_per_dim"] > 0
    assert record.loc["speed", "measures"] == "tiny.planar.moons.confirm-0"
    assert list(record["label.protocol"][["tune", "confirm", "speed"]]) == ["quick", "full", "full"]
    # What needs an idle device is left to the stage that has one.
    assert record.loc["confirm", "inversion/far/flow/median"] >= 0
    assert (
        record.loc["confirm", ["training/step_ms", "sampling/b1/latency_ms_at_1e-4"]].isna().all()
    )
    assert record.loc["speed", "training/step_ms"] > 0
    assert record.loc["speed", "flops/density"] >= 0
    assert any(
        name.startswith("sampling/b1/") and record.loc["speed", name] > 0 for name in record.columns
    )


def test_status_counts_by_outcome_for_people_and_programs(swept, flowbench):
    said = flowbench("sweep", "status", "tiny")
    assert said.code == 0, said.err
    assert "finished" in said.out
    state = json.loads(flowbench("sweep", "status", "tiny", "--json").out)
    assert state["counts"] == {
        "tune": {"completed": 1}, "confirm": {"completed": 1}, "speed": {"completed": 1}
    }  # fmt: skip
    assert (state["state"], state["driver"], state["running"]) == ("finished", None, [])


def test_resuming_a_finished_sweep_runs_nothing_again(swept, flowbench):
    home, _ = swept
    before = {p: p.stat().st_mtime for p in home.path.rglob("result.json")}
    done = flowbench("sweep", "resume", "tiny")
    assert done.code == 0, done.err
    assert {p: p.stat().st_mtime for p in home.path.rglob("result.json")} == before


def test_compare_and_report_read_what_the_sweep_recorded(swept, flowbench):
    home, _ = swept
    shown = flowbench("compare", "tiny")
    assert shown.code == 0, shown.err
    assert "planar" in shown.out
    parsed = json.loads(flowbench("compare", "tiny", "--json").out)
    (row,) = parsed["leaderboard"]
    assert (row["family"], row["split"], row["seeds"]) == ("planar", "test", 1)
    assert row["excess"] > 0
    assert row["speed_alone"] == "yes"
    lines = flowbench("compare", "tiny", "--csv").out.splitlines()
    assert len(lines) == 2
    done = flowbench("report", "tiny")
    page = home.path / "reports" / "tiny" / "index.html"
    assert done.out.splitlines()[0] == f"report: {page}"  # a PDF too, where there is a browser
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
def test_a_mistake_is_one_sentence_and_exit_code_2(swept, flowbench, arguments, said):
    done = flowbench(*arguments)
    assert done.code == 2, done.err
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("family.depth: 2", "family.dept: 2", "family.dept: unknown key (did you mean depth?)"),
        ("name: moons", "name: suns", "data.name = 'suns'"),
    ],
)
def test_what_a_family_or_the_data_refuse_is_refused_before_anything_starts(
    swept, flowbench, tmp_path, was, becomes, said
):
    home, _ = swept
    file = tmp_path / "wrong.yaml"
    file.write_text(TINY.replace("name: tiny", "name: fresh").replace(was, becomes))
    done = flowbench("sweep", "run", file)
    assert done.code == 2, done.out + done.err
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not list(home.path.glob("fresh.*"))
    assert not (home.path / "fresh" / "sweep.json").exists()


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("family.depth: 2", "family.depth: 0", "family.depth = 0: input should be greater"),
        ("{fixed: {family.depth: 2}}", "{search: {family.depth: {int: [1, 999]}}}", "= 999: "),
        ("planar: {", "plannar: {", "family.name = 'plannar': allowed: "),
        ("{fixed: {family.depth: 2}}", "{search: {family.activation: [tanh, relu]}}", "'relu'"),
        ("planar: {fixed: {family.depth: 2}}", "nice: {fixed: {family.network: conv}}", "vectors"),
    ],
)
def test_every_bound_and_choice_of_a_search_is_checked(tmp_path, was, becomes, said):
    file = tmp_path / "wrong.yaml"
    file.write_text(TINY.replace(was, becomes))
    with pytest.raises(InputError) as caught:
        answer(question(read_sweep(load([file]).values)))
    assert said in str(caught.value)


def test_a_changed_file_under_an_old_name_is_refused(swept, flowbench, tmp_path):
    file = tmp_path / "changed.yaml"
    file.write_text(TINY.replace("per_trial: 2", "per_trial: 3"))
    done = flowbench("sweep", "run", file)
    assert done.code == 2
    assert "name = 'tiny': a sweep of this name exists with other contents" in done.err
