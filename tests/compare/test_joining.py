"""Later measurements beside the runs they measure: newest first, protocols apart."""

import math
import subprocess
import sys

import pytest
from small_table import LABELS, run, table_of
from synthetic_record import Record

import flowbench.compare
from flowbench.compare.runs import load
from flowbench.errors import InputError
from flowbench.tracking import schema

FULL = {**LABELS, "protocol": "full"}
QUICK = {**LABELS, "protocol": "quick"}


def measurement(name, of, metrics, *, stage="speed", labels=QUICK, device="2 CPU cores", **changes):
    tags = {schema.MEASURES: of, schema.DEVICE: device}
    return run(name, "glow", 0, stage=stage, metrics=metrics, labels=labels, tags=tags, **changes)


def speeds(rate, ending=""):
    return {
        f"sampling/b{batch}/{name}{ending}": value * factor
        for batch, factor in ((1, 1.0), (64, 40.0), (1024, 90.0))
        for name, value in (("samples_per_second", rate), ("latency_ms", 1000 / rate))
    }


def with_own(name="a", family="glow", rate=50.0, error=1e-5, labels=QUICK):
    one = run(name, family, 1.5, labels=labels)
    one.metrics |= {**speeds(rate), "inversion/flow/xzx/max": error, "inversion/points": 1024.0}
    return one


def joined(directory, *runs):
    frame, table = table_of(directory, *runs)
    return frame.joined.set_index("run"), table.set_index("family")


def test_a_run_is_one_row_and_its_newest_timing_alone_replaces_its_own(tmp_path):
    rows, table = joined(
        tmp_path, with_own(), measurement("old", "a", speeds(100.0)),
        measurement("new", "a", speeds(200.0), device="a GPU"),
        measurement("failed", "a", speeds(900.0), outcome="timed_out"),
    )  # fmt: skip
    assert list(rows.index) == ["a"]
    row = rows.loc["a"]
    assert row["sampling/b1/samples_per_second"] == 200
    assert (row["speed_device"], row["speed_alone"]) == ("a GPU", "yes")
    assert row["speed_protocol"] == "quick"
    assert table.loc["glow", "speed_b64"] == 8000


def test_what_a_newer_measurement_lacks_comes_from_an_older_one_and_a_runs_own_figures_stand(
    tmp_path,
):
    rows, _ = joined(
        tmp_path, with_own(),
        measurement(
            "old", "a", {"test/bits_per_dim": 1.7, "val/bits_per_dim": 9.0}, stage="evaluate"
        ),
        measurement("new", "a", {"test/nats": -4.0}, stage="evaluate"),
    )  # fmt: skip
    row = rows.loc["a"]
    assert (row["test/bits_per_dim"], row["test/nats"]) == (1.7, -4.0)
    assert row["val/bits_per_dim"] == 1.5
    assert row["speed_alone"] == "no"
    assert row["speed_device"] == "2 CPU cores"


def test_the_full_protocol_adds_its_measures_and_stays_apart_in_those_of_both(tmp_path):
    full = {**speeds(70.0), "inversion/flow/xzx/max": 3e-5, "inversion/flow/xzx9/max": 4e-5,
            "memory/sampling_mib": 12.0, "inversion/points": 1024.0}  # fmt: skip
    rows, _ = joined(
        tmp_path, with_own(), measurement("full", "a", full, stage="evaluate", labels=FULL)
    )
    row = rows.loc["a"]
    assert (row["inversion/flow/xzx9/max"], row["memory/sampling_mib"]) == (4e-5, 12.0)
    assert (row["inversion/flow/xzx/max"], row["full/inversion/flow/xzx/max"]) == (1e-5, 3e-5)
    assert row["sampling/b1/samples_per_second"] == 50
    assert row["full/sampling/b1/samples_per_second"] == 70
    assert "full/memory/sampling_mib" not in rows
    assert (row["speed_protocol"], row["inversion_protocol"]) == ("quick", "quick")
    assert row["full/speed_alone"] == "yes"


def test_a_ranked_column_is_of_one_protocol(tmp_path):
    full_a = measurement("fa", "a", {**speeds(70.0), "inversion/flow/xzx/max": 3e-5},
                         stage="evaluate", labels=FULL)  # fmt: skip
    full_b = measurement("fb", "b", {**speeds(60.0), "inversion/flow/xzx/max": 2e-5},
                         stage="evaluate", labels=FULL)  # fmt: skip
    a, b = with_own(), with_own("b", "nice", 40.0, 2e-6)
    _, table = joined(tmp_path / "one", a, b, full_a)
    assert set(table["speed_protocol"]) == {"quick"}
    assert list(table["inversion"]) == [1e-5, 2e-6]
    _, table = joined(tmp_path / "both", a, b, full_a, full_b)
    assert set(table["speed_protocol"]) == {"full"}
    assert table["speed_b1"].to_dict() == {"glow": 70, "nice": 60}
    assert table["inversion"].to_dict() == {"glow": 3e-5, "nice": 2e-5}


def test_an_iterative_sampler_is_quoted_at_its_matched_error(tmp_path):
    both = speeds(500.0) | speeds(80.0, "_at_1e-4")
    rows, table = joined(tmp_path, with_own(), measurement("m", "a", both))
    assert rows.loc["a", "sampling/b1/samples_per_second"] == 80
    assert rows.loc["a", "speed_error"] == "1e-4"
    assert table.loc["glow", "latency_ms"] == 12.5


def test_a_run_that_was_recorded_twice_counts_once_as_it_was_last(tmp_path):
    again = run("a", "glow", 1.4)
    rows, table = joined(tmp_path, run("a", "glow", 1.5), again, run("b", "nice", 1.6))
    assert list(rows.index) == ["a", "b"]
    assert rows.loc["a", "val/bits_per_dim"] == 1.4
    assert table.loc["glow", "seeds"] == 1


def test_labels_that_a_run_lacks_come_from_its_measurement(tmp_path):
    bare = with_own(labels={"preprocess": "[]"})
    rows, _ = joined(tmp_path, bare, measurement("m", "a", speeds(9.0)))
    assert rows.loc["a", "label.log_det"] == "exact"


def test_notebooks_get_the_joined_frame_of_any_record(tmp_path, demo_uri):
    frame = flowbench.compare.frame(demo_uri, "demo")
    expected = load(demo_uri, "demo")
    assert len(frame) == (expected.runs["measures"] == "").sum() < len(expected.runs)
    assert frame["run"].is_unique
    glow = frame[frame["run"] == "demo.glow.moons.confirm-0"].iloc[0]
    measured = expected.runs.set_index("run").loc["demo.glow.moons.confirm-0.speed"]
    name = "sampling/b64/latency_ms"
    assert glow[name] == measured[name]
    assert not math.isnan(glow[name])
    with pytest.raises(InputError, match="no such record"):
        flowbench.compare.frame(f"sqlite:///{tmp_path / 'nothing.db'}")
    assert Record(tmp_path).uri
    with pytest.raises(InputError, match="no runs yet"):
        flowbench.compare.frame(f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_the_notebooks_function_survives_the_rooms_modules_and_needs_no_torch():
    program = (
        "import sys, flowbench.compare as c;"
        "import flowbench.compare.leaderboard, flowbench.compare.tuned;"
        "assert callable(c.frame); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
