"""Every planted unfairness is flagged, and a fair comparison is not."""

import numpy as np
import pytest
from small_table import LABELS, confirmed, run, table_of
from test_joining import FULL, measurement, speeds, with_own

from flowbench.compare.fairness import flags
from flowbench.tracking import schema


def flagged(directory, *runs):
    frame, table = table_of(directory, *runs)
    return {(flag.kind, flag.data): flag.sentence for flag in flags(frame, table)}


SIZE = {schema.N_PARAMETERS: "1000"}


def labelled(**changes):
    return {"labels": {**LABELS, **changes}}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("budget", {"tags": {schema.BUDGET_PER_TRIAL: "40"}}),
        ("budget", {"tags": {schema.BUDGET_UNIT: "device_seconds"}}),
        ("budget", {"tags": {schema.BUDGET_TOTAL: "200"}}),
        ("sizes", {"tags": {schema.N_PARAMETERS: "1000000"}}),
        ("labels", labelled(log_det="bound")),
        ("labels", labelled(log_det="estimate")),
        ("labels", labelled(data="dequantised")),
        ("protocol", labelled(preprocess="x")),
        ("protocol", {"tags": {schema.DATA_HASH: "another"}}),
        ("protocol", labelled(precision="float64")),
        ("protocol", labelled(draws="5")),
        ("versions", {"tags": {schema.GIT_COMMIT: "another"}}),
        ("versions", {"tags": {f"{schema.VERSION_PREFIX}torch": "2.11.0"}}),
        ("missing", {"outcome": "diverged"}),
    ],
)
def test_each_planted_unfairness_is_flagged(tmp_path, kind, change):
    labels = {**LABELS, "precision": "float32", "draws": "1"}
    fair = [run(name, family, 1.5, tags=SIZE, labels=labels) for name, family in PAIR]
    change = {**change, "labels": {**labels, **change.get("labels", {})}}
    changed = run(*PAIR[1], 1.5, **{"tags": SIZE, **change})
    assert (kind, "table") not in flagged(tmp_path / "fair", *fair)
    assert (kind, "table") in flagged(tmp_path / "unfair", fair[0], changed)


PAIR = (("a", "glow"), ("b", "nice"))


def test_two_totals_of_one_size_are_fair_and_two_sizes_are_not(tmp_path):
    def searched(total, other):
        return [
            run(f"{family}.{i}", family, 1.5 + i, stage="tune", sweep="s",
                tags={schema.BUDGET_TOTAL: budget})
            for family, budget, trials in (("glow", total, 2), ("nice", other, 3))
            for i in range(trials)
        ]  # fmt: skip

    same = flagged(tmp_path / "same", *searched("200", "200"))
    assert not {("budget", "table"), ("trials", "table")} & set(same)
    assert ("budget", "table") in flagged(tmp_path / "other", *searched("200", "300"))


def test_different_numbers_of_trials_and_times_spent_are_flagged(tmp_path):
    def trials(family, count, seconds):
        for i in range(count):
            one = run(f"{family}.{i}", family, 1.5, stage="tune", sweep="s")
            one.metrics["device_seconds"] = seconds
            yield one

    fair = flagged(tmp_path / "fair", *trials("glow", 2, 10.0), *trials("nice", 2, 12.0))
    assert not {("trials", "table"), ("spent", "table")} & set(fair)
    more = flagged(tmp_path / "more", *trials("glow", 2, 10.0), *trials("nice", 3, 10.0))
    assert more["trials", "table"].endswith("glow 2, nice 3")
    longer = flagged(tmp_path / "longer", *trials("glow", 2, 10.0), *trials("nice", 2, 90.0))
    assert "nice took 180 device-seconds, that of glow 20" in longer["spent", "table"]


def test_seconds_spent_on_different_devices_are_flagged(tmp_path):
    seconds = {schema.BUDGET_UNIT: "device_seconds"}
    a = run("a", "glow", 1.5, tags=seconds)
    b = run("b", "nice", 1.6, tags={**seconds, schema.DEVICE: "a GPU"})
    assert "different devices" in flagged(tmp_path, a, b)["spent", "table"]


def test_a_missing_cell_is_flagged_on_the_data_set_that_lacks_it(tmp_path):
    here, other = run("a", "glow", 1.5), run("b", "glow", 1.5, data="other")
    found = flagged(tmp_path, here, other, run("c", "nice", 1.6))
    assert "nice" in found["missing", "other"]
    assert ("missing", "table") not in found


@pytest.mark.parametrize("later", [False, True], ids=["in the run", "by a later evaluation"])
def test_test_data_used_for_tuning_are_flagged(tmp_path, later):
    tuned = run("a", "glow", 1.5, stage="tune", sweep="s")
    runs = [tuned, run("b", "nice", 1.5, stage="tune", sweep="s")]
    assert "no longer unseen" not in flagged(tmp_path / "fair", *runs)["split", "table"]
    frame_of = {"test/bits_per_dim": 1.6}
    if later:  # of one of two trials; that of an only one chooses nothing
        runs.append(run("c", "glow", 1.7, stage="tune", sweep="s"))
        runs.append(measurement("m", "a", frame_of, stage="evaluate"))
    else:
        tuned.metrics |= frame_of
    frame, table = table_of(tmp_path / "peeked", *runs)
    said = [flag.sentence for flag in flags(frame, table) if flag.kind == "split"]
    assert any("1 tuning runs were measured on test data" in sentence for sentence in said)


def test_a_family_without_confirming_runs_is_flagged_beside_others(tmp_path):
    nats = np.random.default_rng(0).normal(-5, 1, (30, 5))
    found = flagged(tmp_path, *confirmed("nice", nats), run("a", "glow", 1.5))
    assert found["split", "table"] == "glow not confirmed on test data, so not ranked"


def test_speeds_of_two_devices_or_beside_other_work_are_flagged(tmp_path):
    a, b = with_own(), with_own("b", "nice")
    alone = [measurement(f"m{name}", name, speeds(9.0)) for name in "ab"]
    assert ("devices", "table") not in flagged(tmp_path / "fair", a, b, *alone)
    elsewhere = measurement("mb", "b", speeds(9.0), device="a GPU")
    found = flagged(tmp_path / "devices", a, b, alone[0], elsewhere)
    assert "different devices" in found["devices", "table"]
    found = flagged(tmp_path / "within", a, b, alone[0])
    assert "the speed of nice was not measured in a stage of its own" in found["devices", "table"]


def test_protocols_that_cannot_be_matched_are_flagged(tmp_path):
    full = {**speeds(9.0), "inversion/flow/xzx/max": 1e-6, "inversion/points": 1024.0}
    a, bare = with_own(), run("b", "nice", 1.5)
    only_full = measurement("mb", "b", full, stage="evaluate", labels=FULL)
    frame, table = table_of(tmp_path, a, bare, only_full)
    said = [flag.sentence for flag in flags(frame, table) if flag.kind == "protocol"]
    assert any("speeds were measured by different protocols" in one for one in said)
    assert any("inversion errors were measured by different protocols" in one for one in said)
    assert not table["front"].any()
    assert ("protocol", "table") not in flagged(tmp_path / "fair", a, with_own("b", "nice"))


def test_maxima_over_different_numbers_of_points_are_flagged(tmp_path):
    a, b = with_own(), with_own("b", "nice")
    b.metrics["inversion/points"] = 180.0
    assert "glow 1024, nice 180" in flagged(tmp_path, a, b)["protocol", "table"]


def test_few_unequal_and_failed_seeds_are_flagged(tmp_path):
    rng = np.random.default_rng(1)
    five = [*confirmed("nice", rng.normal(-5, 1, (30, 5)))]
    glow = [*confirmed("glow", rng.normal(-5, 1, (30, 5)))]
    assert ("seeds", "table") not in flagged(tmp_path / "fair", *five, *glow)

    def said(name, *runs):
        frame, table = table_of(tmp_path / name, *runs)
        return " ".join(flag.sentence for flag in flags(frame, table) if flag.kind == "seeds")

    few = said("few", *five, *glow[:3])
    assert "different numbers of seeds" in few
    assert "3 seeds only; no significance is claimed below 5" in few
    glow[4].outcome = "diverged"
    assert "1 of 5 confirming runs of glow failed" in said("failed", *five, *glow)


def test_differences_that_could_not_be_paired_are_flagged(tmp_path):
    rng = np.random.default_rng(2)
    nice = [*confirmed("nice", rng.normal(-5, 1, (30, 5)))]
    with_points = [*confirmed("glow", rng.normal(-6, 1, (30, 5)))]
    without = [*confirmed("glow", rng.normal(-6, 1, (30, 5)), points=None)]
    assert ("points", "table") not in flagged(tmp_path / "fair", *nice, *with_points)
    assert (
        "no results by point of glow" in flagged(tmp_path / "x", *nice, *without)["points", "table"]
    )


def test_the_data_sets_own_warnings_are_repeated(demo_uri):
    from flowbench.compare.leaderboard import leaderboard_table
    from flowbench.compare.runs import load

    frame = load(demo_uri, "demo")
    said = {
        (flag.data, flag.kind): flag.sentence for flag in flags(frame, leaderboard_table(frame))
    }
    assert said["moons", "data"] == "fewer rows than 20 a dimension"
    assert ("digits", "data") not in said
