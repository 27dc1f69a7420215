import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import flowbench
from flowbench.cli.configuring import stopped_run
from flowbench.data.module import open_data
from flowbench.families.checkpoint import save_flow
from flowbench.families.registry import create
from flowbench.run_directory import RunDirectory, TrialResult, find_model, home
from flowbench.spec.run import DataSpec, RunSpec
from flowbench.sweep.directory import SweepDirectory
from flowbench.sweep.locks import held
from flowbench.tracking.provenance import Provenance
from flowbench.training.fit import about

# One worker trains the runs that these tests share.
pytestmark = pytest.mark.xdist_group("cli")


def test_importing_flowbench_imports_no_torch():
    program = (
        "import sys, flowbench; print('torch' in sys.modules, flowbench.load, flowbench.train)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("False <function load"), done.stderr


def test_train_prints_the_id_and_the_three_measures_on_validation_data(table_run):
    said, run = table_run
    assert said.code == 0
    assert run in said.out
    for words in ("bits/dim, validation", "sampling, batch 1", "inversion error", "recovered"):
        assert words in said.out
    assert "test" not in said.out


def test_the_run_is_on_disk_and_in_the_record(table_run):
    from flowbench.compare.runs import load
    from flowbench.tracking.store import default_tracking_uri

    _, run = table_run
    result = RunDirectory(home() / run).result()
    recorded = load(default_tracking_uri()).runs.set_index("run").loc[run]
    assert result.outcome == "completed"
    assert recorded["val/bits_per_dim"] == pytest.approx(result.metrics["val/bits_per_dim"])
    assert recorded["label.data"] == "dequantised"


def test_evaluate_measures_the_same_again_and_the_test_split_on_request(
    table_run, flowbench_command
):
    _, run = table_run
    result = RunDirectory(home() / run).result()
    again = json.loads(flowbench_command("evaluate", run, "--json").out)["metrics"]
    for name in ("val/bits_per_dim", "val/nats_se", "inversion/flow/xzx/max"):
        assert again[name] == pytest.approx(result.metrics[name], rel=1e-5)
    said = flowbench_command("evaluate", find_model(run), "--split", "test")
    assert said.code == 0
    assert "bits/dim, test" in said.out


def test_an_evaluation_of_a_run_is_recorded_and_moves_nothing_on_the_leaderboard_but_speeds(
    table_run, flowbench_command
):
    from flowbench.compare.leaderboard import leaderboard_table
    from flowbench.compare.runs import load
    from flowbench.tracking.store import default_tracking_uri

    _, run = table_run
    frame = load(default_tracking_uri())
    said = json.loads(flowbench_command("evaluate", run, "--json").out)
    after = load(default_tracking_uri())
    assert len(after.runs) == len(frame.runs) + 1
    new = after.runs[~after.runs["run"].isin(frame.runs["run"])].iloc[0]
    assert (new["stage"], new["measures"], new["outcome"]) == ("evaluate", run, "completed")
    assert new["val/bits_per_dim"] == said["metrics"]["val/bits_per_dim"]
    assert "evaluate" in new["command"]
    tables = [
        table[[name for name in table if not name.startswith(("speed_", "latency_ms"))]]
        for table in (leaderboard_table(after), leaderboard_table(frame))
    ]
    assert "bits_per_dim" in tables[0]
    pd.testing.assert_frame_equal(*tables)


def test_a_run_that_nothing_was_chosen_before_is_compared_by_its_evaluation_on_test_data(
    table_run, flowbench_command
):
    from flowbench.compare.leaderboard import leaderboard_table
    from flowbench.compare.runs import load
    from flowbench.tracking.store import default_tracking_uri

    _, run = table_run
    said = json.loads(flowbench_command("evaluate", run, "--split", "test", "--json").out)
    frame = load(default_tracking_uri())
    table = leaderboard_table(frame)
    row = next(row for row in table.to_dict("records") if run in row["run_ids"])
    assert row["split"] == "test"
    for name in ("bits_per_dim", "bits_per_dim_se"):
        assert row[name] == pytest.approx(said["metrics"][f"test/{name}"], rel=1e-9)
    points = frame.points([run])
    assert len(points) == said["metrics"]["test/points"]


def test_a_full_evaluation_is_recorded_as_such_with_all_that_the_protocol_adds(
    table_run, flowbench_command
):
    from flowbench.compare.runs import load
    from flowbench.tracking.store import default_tracking_uri

    _, run = table_run
    before = load(default_tracking_uri()).runs
    said = flowbench_command("evaluate", run, "--full", "--importance-draws", 3)
    cells = " ".join(said.out.replace("│", " ").split())
    for words in (
        "bits/dim, validation", "3 draws, importance-weighted", "inversion error, in float64",
        "the worst of 5", "Jacobian", "density, batch 64", "ms, batch 64", "FLOPs, a point",
        "told from data with accuracy", "latent against the base",
    ):  # fmt: skip
        assert words in cells
    after = load(default_tracking_uri()).runs
    new = after[~after["run"].isin(before["run"])].iloc[0]
    assert (new["stage"], new["measures"], new["label.protocol"]) == ("evaluate", run, "full")
    assert new["label.training_batch"] == "64"  # the run's own
    assert new["label.iw_draws"] == "3"
    assert new["jacobian/log_det_error_max"] < 1e-9
    assert new["val/nats_iw"] > new["val/nats"]
    assert before.set_index("run").loc[run, "label.protocol"] == "quick"


def test_an_importance_weighting_that_means_nothing_is_refused_in_a_sentence(refused, tmp_path):
    rows = np.random.default_rng(0).normal(size=(100, 2))
    np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header="a,b", comments="")
    spec = RunSpec(family={"name": "realnvp"}, data=DataSpec(path=str(tmp_path / "t.csv")))
    flow = create("realnvp", (2,), depth=1, hidden=(8,))
    save_flow(flow, tmp_path / "model.pt", about(open_data(spec.data, 0), spec))
    sentence = refused("evaluate", tmp_path / "model.pt", "--importance-draws", 4)
    assert "has no integers" in sentence


def test_a_run_that_runs_is_not_trained_from_its_spec(tmp_path, monkeypatch, refused):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path))
    run = RunDirectory(tmp_path / "mine")
    run.write_spec(RunSpec.model_validate({"family": {"name": "nice"}, "data": {"name": "moons"}}))
    with held(run.path / "driver.lock"):
        assert f"mine is being run by process {os.getpid()}" in refused(
            "train", run.path / "spec.json"
        )
    Provenance(stage="tune", sweep="big").write(run)
    with SweepDirectory(tmp_path / "big").locked():
        assert f"mine is being run by process {os.getpid()}" in refused(
            "train", run.path / "spec.json"
        )
    assert not run.attempts()


def test_a_model_file_moved_elsewhere_is_evaluated_as_well(table_run, flowbench_command, tmp_path):
    _, run = table_run
    (tmp_path / "mine.pt").write_bytes(find_model(run).read_bytes())
    said = flowbench_command("evaluate", tmp_path / "mine.pt", "--json")
    assert json.loads(said.out)["metrics"]["val/points"] == 30


def test_samples_of_a_table_have_its_columns_and_its_integers(
    table_run, flowbench_command, tmp_path
):
    _, run = table_run
    out = tmp_path / "samples.csv"
    assert flowbench_command("sample", run, "-n", 50, "-o", out).code == 0
    frame = pd.read_csv(out)
    assert list(frame.columns) == ["count", "size"]
    assert len(frame) == 50
    assert (frame["count"] == frame["count"].round()).all()
    assert not (frame["size"] == frame["size"].round()).any()

    flowbench_command("sample", run, "-n", 50, "-o", tmp_path / "samples.npy")
    np.testing.assert_allclose(np.load(tmp_path / "samples.npy"), frame.to_numpy(), rtol=1e-5)


def test_the_temperature_and_the_seed_decide_the_samples(table_run, flowbench_command, tmp_path):
    _, run = table_run

    def drawn(*options):
        flowbench_command("sample", run, "-n", 200, "-o", tmp_path / "x.npy", *options)
        return np.load(tmp_path / "x.npy")

    first = drawn()
    np.testing.assert_array_equal(drawn(), first)
    assert not np.array_equal(drawn("--seed", 1), first)
    assert drawn("--temperature", 0.2)[:, 1].std() < 0.5 * first[:, 1].std()


def test_scores_are_the_log_densities_of_the_rows_of_a_file(
    table_run, workplace, flowbench_command, tmp_path
):
    _, run = table_run
    scores = {}
    for suffix in ("csv", "parquet", "npy"):
        out = tmp_path / f"scores.{suffix}"
        assert flowbench_command("score", run, workplace / "rows.csv", "-o", out).code == 0
        scores[suffix] = out
    frame = pd.read_csv(scores["csv"])
    assert list(frame.columns) == ["row", "log_prob"]
    assert list(frame["row"]) == list(range(300))
    np.testing.assert_allclose(np.load(scores["npy"]), frame["log_prob"])
    pd.testing.assert_frame_equal(pd.read_parquet(scores["parquet"]), frame)

    # The rows of the validation split have the likelihood that training reported.
    spec = RunDirectory(home() / run).spec()
    held_out = open_data(spec.data, spec.data_seed).source.splits["validation"].row
    reported = RunDirectory(home() / run).result().metrics["val/nats"]
    assert frame["log_prob"][held_out].mean() == pytest.approx(reported, rel=1e-5)


def test_a_run_trained_from_python_gives_its_flow(image_run):
    assert image_run.result.outcome == "completed"
    flow = image_run.flow()
    assert flow.event_shape == (1, 8, 8)
    assert not flow.training
    again = flowbench.load(str(find_model(image_run.id)))
    x = flow.sample(3)
    with torch.no_grad():
        assert torch.equal(flow(x), again(x))


def test_samples_of_images_are_bytes_or_a_grid(image_run, flowbench_command, tmp_path):
    flowbench_command("sample", image_run.id, "-n", 9, "-o", tmp_path / "x.npy")
    x = np.load(tmp_path / "x.npy")
    assert x.shape == (9, 1, 8, 8)
    assert x.dtype == np.uint8
    assert x.max() <= 16

    flowbench_command("sample", image_run.id, "-n", 9, "-o", tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (3 * 9 - 1, 3 * 9 - 1, 3)
    np.testing.assert_array_equal(pixels[9:17, 18:26, 0], np.round(x[5, 0] * (255 / 16)))


def test_a_file_that_is_there_is_replaced_whole(image_run, flowbench_command, tmp_path):
    out = tmp_path / "x.npy"
    out.write_bytes(b"something else")
    flowbench_command("sample", image_run.id, "-n", 2, "-o", out)
    assert np.load(out).shape == (2, 1, 8, 8)
    assert list(tmp_path.iterdir()) == [out]


def test_a_run_that_fails_ends_with_exit_code_1_and_says_how(configuration, flowbench_command):
    said = flowbench_command("train", configuration, "training.learning_rate=1e30", "--json")
    assert said.code == 1
    assert json.loads(said.out)["outcome"] == "diverged"
    assert ": diverged: " in said.err


def test_the_spec_of_a_stopped_run_goes_on_and_of_a_finished_one_starts_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path))
    run = RunDirectory(tmp_path / "mine")
    run.write_spec(RunSpec.model_validate({"family": {"name": "nice"}, "data": {"name": "moons"}}))
    attempt = run.attempt(0)
    attempt.create()
    spec = str(run.path / "spec.json")
    assert stopped_run([spec]) == "mine"
    assert stopped_run([spec, "training.max_epochs=2"]) is None
    attempt.write_result(TrialResult(outcome="completed"))
    assert stopped_run([spec]) is None


def test_a_conditional_flow_is_not_sampled_without_its_condition(refused, tmp_path):
    rows = np.random.default_rng(0).normal(size=(100, 3))
    np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header="given,a,b", comments="")
    spec = RunSpec(
        family={"name": "realnvp"}, data=DataSpec(path=str(tmp_path / "t.csv"), context=["given"])
    )
    flow = create("realnvp", (2,), depth=1, hidden=(8,), context_size=1)
    save_flow(flow, tmp_path / "model.pt", about(open_data(spec.data, 0), spec))
    sentence = refused("sample", tmp_path / "model.pt", "-o", tmp_path / "x.npy")
    assert "conditional on given" in sentence
