"""The leaderboard against numbers recomputed from the raw record."""

import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats
from small_table import DIMENSIONS, LABELS, confirmed, run, table_of
from synthetic_record import HOSTILE, LN2, TRAITS, measured

from flowbench.compare.columns import COLUMNS, with_error, written
from flowbench.compare.differences import differences_table
from flowbench.compare.fairness import flags
from flowbench.compare.leaderboard import TUNED_ON, leaderboard_table
from flowbench.compare.render import as_csv, as_json, rendered
from flowbench.compare.runs import load
from flowbench.compare.statistics import crossed_mean
from flowbench.errors import InputError
from flowbench.tracking import schema

IMAGES = {**LABELS, "data": "dequantised"}


@pytest.fixture(scope="module")
def demo(demo_uri):
    frame = load(demo_uri, "demo")
    return frame, leaderboard_table(frame)


def test_every_family_is_quoted_once_on_test_data_best_first(demo):
    _, table = demo
    for data in ("digits", "moons"):
        rows = table[table["data"] == data]
        assert list(rows["family"]) == sorted(TRAITS, key=lambda family: TRAITS[family][0])
        assert list(rows["rank"]) == [1, 2, 3, 4, 5, 6]
        assert set(rows["split"]) == {"test"}
        assert set(rows["seeds"]) == {3}
        assert set(rows["budget"]) == {"20 epochs"}
    digits = table[table["data"] == "digits"].set_index("family")
    assert digits["trials"].to_dict() == dict.fromkeys(TRAITS, 2) | {"residual": 3}


def test_means_and_intervals_are_those_of_the_raw_runs(demo, demo_uri):
    from mlflow import MlflowClient

    _, table = demo
    client = MlflowClient(demo_uri)
    experiment = client.get_experiment_by_name("flowbench").experiment_id
    runs = client.search_runs(
        [experiment],
        "tags.`flowbench.family` = 'glow' and tags.`flowbench.data` = 'moons'"
        " and tags.`flowbench.stage` = 'confirm'",
    )
    bits = [r.data.metrics["test/bits_per_dim"] for r in runs]
    row = table[(table["family"] == "glow") & (table["data"] == "moons")].iloc[0]
    assert row["bits_per_dim"] == pytest.approx(np.mean(bits))
    scores = pd.concat([
        pd.read_parquet(client.download_artifacts(r.info.run_id, schema.POINTS_ARTIFACT))
        .set_index("row")["log_prob"]
        for r in runs
    ], axis=1)  # fmt: skip
    expected = crossed_mean(scores)
    assert row["nats_se"] == pytest.approx(expected.se)
    assert row["bits_per_dim_se"] == pytest.approx(expected.se / (2 * LN2))
    half = stats.t.ppf(0.975, expected.df) * expected.se / (2 * LN2)
    assert row["bits_per_dim_low"] == pytest.approx(np.mean(bits) - half)
    assert row["bits_per_dim_high"] == pytest.approx(np.mean(bits) + half)
    assert row["gain"] == pytest.approx(1.95 - np.mean(bits))
    assert (row["interval_low"], row["interval_high"]) == (row["gain_low"], row["gain_high"])


def test_without_results_by_point_the_errors_are_those_that_runs_state(tmp_path):
    rng = np.random.default_rng(0)
    nats = rng.normal(-5, 1, (50, 3)) + np.array([0, 0.3, 0.5])
    runs = list(confirmed("glow", nats, points=None))
    _, table = table_of(tmp_path, *runs)
    bits = [one.metrics["test/bits_per_dim"] for one in runs]
    errors = [one.metrics["test/bits_per_dim_se"] for one in runs]
    variance = np.var(bits, ddof=1) / 3 + np.mean(np.square(errors))
    assert table["bits_per_dim_se"].iloc[0] == pytest.approx(math.sqrt(variance))


def test_the_gains_error_is_paired_with_the_baseline_where_that_is_known_by_point(tmp_path):
    rng = np.random.default_rng(1)
    gaussian = rng.normal(-7, 2, 80)  # what is hard for the Gaussian is hard for the flow
    nats = gaussian[:, None] + 1 + rng.normal(0, 0.2, (80, 5)) + rng.normal(0, 0.05, 5)
    _, table = table_of(tmp_path, *confirmed("glow", nats, gaussian))
    row = table.iloc[0]
    expected = crossed_mean(pd.DataFrame(nats - gaussian[:, None]))
    assert row["gain"] == pytest.approx(expected.mean / (4 * LN2))
    assert row["gain_se"] == pytest.approx(expected.se / (4 * LN2))
    assert row["gain_se"] < 0.3 * row["bits_per_dim_se"]
    _, table = table_of(tmp_path / "unpaired", *confirmed("glow", nats))
    assert table["gain_se"].iloc[0] == table["bits_per_dim_se"].iloc[0]


def test_the_difference_to_the_best_is_that_of_the_pairs(demo):
    frame, table = demo
    pairs = differences_table(frame, table)
    pairs = pairs[(pairs["data"] == "moons") & (pairs["family"] == "realnvp")].set_index("other")
    rows = table[table["data"] == "moons"].set_index("family")
    for family in set(TRAITS) - {"realnvp"}:
        pair, row = pairs.loc[family], rows.loc[family]
        for ending in ("", "_se", "_low", "_high"):
            key = {"": "difference"}.get(ending, ending[1:])
            assert row[f"behind_best{ending}"] == pair[key]
        assert row["behind_best"] == pytest.approx(
            row["bits_per_dim"] - rows.loc["realnvp", "bits_per_dim"]
        )
        assert row["verdict"] == "not tested"  # three seeds
    assert math.isnan(rows.loc["realnvp", "behind_best"])
    assert rows.loc["realnvp", "verdict"] == ""


def test_the_front_is_that_of_likelihood_sampling_time_and_inversion_error(demo, tmp_path):
    _, table = demo
    for _, rows in table.groupby("data"):
        merits = rows[["merit", "speed_b1024"]].assign(exact=-rows["inversion"]).to_numpy()
        for one, on in zip(merits, rows["front"], strict=True):
            beaten = any((other >= one).all() and (other > one).any() for other in merits)
            assert on == (not beaten)
    assert 0 < table["front"].sum() < len(table)


def test_speed_comes_from_its_own_stage_at_the_matched_error(demo):
    _, table = demo
    digits = table[table["data"] == "digits"].set_index("family")
    assert digits.loc["glow", "speed_b1024"] == pytest.approx(TRAITS["glow"][1])
    assert digits.loc["residual", "speed_b1024"] == pytest.approx(TRAITS["residual"][1])
    assert digits.loc["residual", "speed_error"] == "1e-4"
    assert digits.loc["glow", "speed_error"] == ""
    assert set(digits["speed_alone"]) == {"yes"}


def test_without_confirming_runs_the_best_run_stands_in_and_says_so(tmp_path):
    _, table = table_of(tmp_path, run("a", "glow", 2.0), run("b", "glow", 1.5))
    assert list(table["run_ids"]) == [("b",)]
    assert table["split"].iloc[0] == TUNED_ON


def test_rows_on_validation_data_are_not_ranked_beside_rows_on_test_data(tmp_path):
    metrics = {"test/bits_per_dim": 1.9, "test/bits_per_dim_se": 0.01, "test/nats": -1.9 * 4 * LN2,
               "test/gain_over_gaussian": 1.1}  # fmt: skip
    frame, table = table_of(
        tmp_path, run("a", "glow", 1.5), run("b", "nice", 1.9, stage="confirm", metrics=metrics)
    )
    ranks = table.set_index("family")["rank"]
    assert ranks["nice"] == 1
    assert math.isnan(ranks["glow"])
    assert "split" in {flag.kind for flag in flags(frame, table)}


def test_different_preprocessing_or_data_is_never_ranked_together(tmp_path):
    other = {"log_det": "exact", "data": "density", "preprocess": '[{"name": "logit"}]'}
    frame, table = table_of(
        tmp_path, run("a", "glow", 1.5), run("b", "nice", 1.9, labels=other),
        run("c", "planar", 1.2, tags={schema.DATA_HASH: "another"}),
    )  # fmt: skip
    assert list(table["rank"]) == [1, 1, 1]
    sentences = [flag.sentence for flag in flags(frame, table) if flag.kind == "protocol"]
    assert len(sentences) == 2


def test_continuous_data_are_ranked_by_gain_and_discrete_data_by_bits(tmp_path):
    # The gain of `a` is larger although its bits/dim are worse: the units differ between runs.
    a, b = run("a", "glow", 2.0), run("b", "nice", 1.0)
    a.metrics["val/gain_over_gaussian"], b.metrics["val/gain_over_gaussian"] = 0.9, 0.1
    _, table = table_of(tmp_path / "continuous", a, b)
    assert list(table["family"]) == ["glow", "nice"]
    a.labels = b.labels = IMAGES  # LABELS is shared: no test may write to it
    _, table = table_of(tmp_path / "discrete", a, b)
    assert list(table["family"]) == ["nice", "glow"]


def test_configurations_of_two_sweeps_are_not_averaged(tmp_path):
    def confirmed(name, sweep, bits):
        values = {"bits_per_dim": bits, "bits_per_dim_se": 0.01, "nats": -bits * 4 * LN2}
        metrics = {f"{split}/{k}": v for split in ("val", "test") for k, v in values.items()}
        return run(name, "glow", bits, stage="confirm", sweep=sweep, metrics=metrics)

    runs = [confirmed(f"{s}{i}", s, b) for s, b in (("old", 1.2), ("new", 1.4)) for i in range(2)]
    _, table = table_of(tmp_path, *runs)
    assert set(table["run_ids"].iloc[0]) == {"old0", "old1"}


def test_an_unknown_sweep_is_refused_with_those_there_are(demo_uri):
    with pytest.raises(InputError, match="nowhere: no run of such a sweep"):
        load(demo_uri, "nowhere")


def test_the_terminal_shows_names_as_text_and_programs_get_every_number(hostile_uri, demo):
    frame = load(hostile_uri)
    table = leaderboard_table(frame)
    console = Console(width=250, record=True, file=io.StringIO())
    console.print(rendered(table.assign(family=["[red]x", "[/]", "z"]), flags(frame, table)))
    assert "[red]x" in console.export_text()

    assert HOSTILE in as_json(table, flags(frame, table))
    parsed = json.loads(as_json(demo[1], []))["leaderboard"]
    assert parsed[0]["bits_per_dim"] == demo[1]["bits_per_dim"].iloc[0]
    assert parsed[0]["behind_best"] is None
    back = pd.read_csv(io.StringIO(as_csv(demo[1])))
    np.testing.assert_array_equal(back["bits_per_dim"], demo[1]["bits_per_dim"])
    formula = as_csv(table.assign(family="=cmd()"))
    assert "'=cmd()" in formula


@pytest.mark.parametrize("width", [80, 120])
def test_a_narrow_terminal_shows_whole_numbers_and_says_what_it_left_out(demo, width):
    frame, table = demo
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(rendered(table, flags(frame, table), width))
    text = console.export_text()
    assert "…" not in text
    for row in table.to_dict("records"):
        measure = "gain" if row["data"] == "moons" else "bits_per_dim"
        assert with_error(row[measure], row[f"{measure}_se"]) in text
        assert row["family"] in text
    assert "no room for: parameters" in text
    console = Console(width=1000, record=True, file=io.StringIO())
    console.print(rendered(table, flags(frame, table)))
    assert "no room" not in console.export_text()


@pytest.mark.parametrize("width", [60, 120])
def test_verdicts_are_shown_at_every_width(tmp_path, width):
    rng = np.random.default_rng(2)
    hard = rng.normal(-6, 1, (40, 1))
    runs = [
        run
        for family, level in (("glow", 0.0), ("nice", -0.01), ("planar", -2.0))
        for run in confirmed(family, hard + level + 0.1 * np.arange(-2, 3))
    ]
    _, table = table_of(tmp_path, *runs)
    assert list(table["verdict"]) == ["", "not told apart", "different"]
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(rendered(table, [], width))
    text = console.export_text()
    if width == 60:
        words = "tested against glow: worse: planar; not told apart from it: nice"
        assert words in " ".join(text.split())
    else:
        assert "tested against" not in text
        rows = {line.split()[1]: line for line in text.splitlines() if line[:1] in list("123")}
        assert " unsure " in rows["nice"]
        assert " yes " in rows["planar"]


@pytest.mark.parametrize(
    ("mean", "se", "words"),
    [(2.0512, 0.0043, "2.0512 ± 0.0043"), (1.4, 0.013, "1.400 ± 0.013"), (3.2, 14.0, "3 ± 14"),
     (1.23456, math.nan, "1.235"), (math.inf, 1.0, "not finite")],
)  # fmt: skip
def test_a_mean_is_written_with_the_digits_that_its_error_supports(mean, se, words):
    assert with_error(mean, se) == words


def test_a_share_just_below_one_is_not_written_as_all():
    column = next(c for c in COLUMNS if c.key == "exact_share")
    assert written({"exact_share": 0.9999}, column) == "99.9 %"
    assert written({"exact_share": 1.0}, column) == "100.0 %"


def evaluated(of, nats, **changes):
    """A later measurement of a run on test data."""
    points = pd.DataFrame({"row": np.arange(len(nats)), "log_prob": nats, "se": 0.0})
    return run(
        f"{of.name}.evaluate-0", of.family, 0.0, stage="evaluate", sweep=of.sweep, points=points,
        metrics=measured(nats, DIMENSIONS, "test", 3.0), tags={schema.MEASURES: of.name}, **changes,
    )  # fmt: skip


def test_a_family_of_which_nothing_else_was_tried_is_quoted_on_test_data(tmp_path):
    generator = np.random.default_rng(0)
    nats = generator.normal(-6, 1, 400)
    better, worse = nats + 0.5 + 0.1 * generator.normal(size=400), nats
    glow, nice = (
        run(f"s.{f}.0", f, 1.0, stage="tune", sweep="s", labels=IMAGES) for f in ("glow", "nice")
    )
    lone = [glow, nice, evaluated(glow, better), evaluated(nice, worse)]
    frame, table = table_of(tmp_path / "lone", *lone)
    assert list(table["family"]) == ["glow", "nice"]
    assert set(table["split"]) == {"test"}
    to_bits = 1 / (DIMENSIONS * LN2)
    first, second = table.to_dict("records")
    assert first["bits_per_dim"] == pytest.approx(-better.mean() * to_bits)
    assert first["bits_per_dim_se"] == pytest.approx(better.std(ddof=1) * to_bits / 20)
    # The difference is paired point by point: a tenth of what the points scatter.
    gap = (better - worse) * to_bits
    assert second["behind_best"] == pytest.approx(gap.mean())
    assert second["behind_best_se"] == pytest.approx(gap.std(ddof=1) / 20)
    assert not any("test data" in flag.sentence for flag in flags(frame, table))

    # Where two were tried, the better was chosen by validation data: it keeps to them.
    other = run("s.glow.1", "glow", 1.2, stage="tune", sweep="s", labels=IMAGES)
    frame, table = table_of(tmp_path / "two", *lone, other)
    splits = dict(zip(table["family"], table["split"], strict=True))
    assert splits == {"nice": "test", "glow": TUNED_ON}
    assert any("1 tuning runs were measured" in flag.sentence for flag in flags(frame, table))
