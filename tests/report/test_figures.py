"""The figures' tables against the raw record, and what is drawn against the tables."""

import base64
import json

import numpy as np
import pandas as pd
import pytest
from full_record import SPLITS, TRIALS
from synthetic_record import FAMILIES, Record, RecordedRun

from flowbench.compare.runs import PROTOCOL
from flowbench.report.contents import contents
from flowbench.report.figures.lipschitz_map import lipschitz_map_figure, panels
from flowbench.report.figures.parallel_coordinates import (
    parallel_coordinates_data,
    parallel_coordinates_figure,
)
from flowbench.report.figures.split_comparison import split_comparison_data
from flowbench.report.figures.trials import (
    MOST_DRAWN,
    finished_trials,
    thinned,
    with_parameter,
)

pytestmark = pytest.mark.xdist_group("full-report")


@pytest.fixture(scope="session")
def picture(section):
    """Find the picture of a data set by its name."""

    def find(data, name):
        return next(p for p in section[data].pictures if p.name == name)

    return find


@pytest.fixture(scope="session")
def trials(raw):
    """The search's trials on one data set, hyperparameters as numbers where they are."""

    def find(data):
        runs = raw.runs[
            (raw.runs["tags.flowbench.stage"] == "tune") & (raw.runs["tags.flowbench.data"] == data)
        ]
        return pd.DataFrame({
            "family": runs["tags.flowbench.family"], "run": runs["tags.flowbench.run"],
            "value": runs["metrics.val/bits_per_dim"], "split": runs["params.family.split"],
            "depth": runs["params.family.depth"].astype(float),
            "lipschitz": runs["params.family.lipschitz"].astype(float),
            "learning_rate": runs["params.training.learning_rate"].astype(float),
            "excess": runs["metrics.val/excess_over_entropy"],
        })  # fmt: skip

    return find


def drawn(figure):
    """Return how many finite points each trace of a figure has."""
    traces = json.loads(figure.to_json())["data"]
    return [np.isfinite(np.asarray(decoded(t["y"]), float)).sum() for t in traces]


def decoded(value):
    if isinstance(value, dict):
        return np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
    return [np.nan if v is None else v for v in value]


def test_every_figure_of_the_record_is_there(section, made):
    names = {data: {p.name for p in part.pictures} for data, part in section.items()}
    common = {
        "likelihood", "trade-off", "curves", "inversion-curve", "lipschitz-map", "splits",
        "parallel-coordinates", "importance", "best-after-trials",
    }  # fmt: skip
    assert names["digits"] == common
    assert names["moons"] == common | {"excess-against-depth"}
    assert names["rings"] == {"likelihood"}  # no curve, no search, no speed
    assert {p.name for p in made.overview} == {"critical-difference", "sampling-against-dimension"}


def test_four_figures_are_drawn_twice_and_tables_stand_in_for_the_others(section):
    for picture in section["digits"].pictures:
        twice = picture.name in ("likelihood", "trade-off", "curves", "lipschitz-map")
        assert (picture.still is not None) == twice
        assert (picture.table is None) == twice
        if twice:
            assert picture.svg.startswith(b"<?xml")


def test_the_lipschitz_map_has_a_place_for_each_constant_and_depth(picture, trials):
    data = picture("digits", "lipschitz-map").data.set_index(["lipschitz", "depth"])
    known = trials("digits").query("family == 'residual'").groupby(["lipschitz", "depth"])["value"]
    pd.testing.assert_series_equal(
        data["bits_per_dim"], known.mean(), check_names=False, check_like=True
    )
    assert data["runs"].sum() == TRIALS
    for trace in json.loads(lipschitz_map_figure(data.reset_index()).to_json())["data"]:
        places = sorted(set(np.round(decoded(trace["x"]), 6)))
        assert places == pytest.approx([-np.log10(1 - bound) for bound in (0.5, 0.9, 0.97)])


def test_the_lipschitz_map_has_a_panel_for_each_measure_that_every_place_has():
    data = pd.DataFrame({
        "family": "residual", "lipschitz": [0.5, 0.9], "depth": [4.0, 8.0],
        "bits_per_dim": [2.2, 2.1], "runs": [1, 1], "excess": [0.2, 0.1],
        "evaluations": [6.0, np.nan], "inversion_error": [1e-6, 0.0],
    })  # fmt: skip
    error = "log10 inversion error"
    assert list(panels(data)) == ["excess (nats)", error]
    assert panels(data)[error].tolist() == pytest.approx([-6.0, -16.0])
    assert list(panels(data.drop(columns="excess"))) == ["bits/dim", error]
    drawn = json.loads(lipschitz_map_figure(data).to_json())["data"]
    assert [trace["marker"]["colorbar"]["title"]["text"] for trace in drawn] == list(panels(data))


def test_a_split_that_never_moves_one_part_is_another_split():
    runs = pd.DataFrame({
        "family": "nice", "run": ["a", "b", "c"], "val/bits_per_dim": [2.1, 2.4, 2.2],
        "param.family.split": ["half", "half", "parity"], "stage": "tune", "measures": "",
        "param.family.alternate": ["True", "False", None], "outcome": "completed",
    } | dict.fromkeys(PROTOCOL, "same"))  # fmt: skip
    data = split_comparison_data(runs, runs[PROTOCOL])
    assert data["split"].tolist() == ["half", "half, one part", "parity"]
    assert data["best"].all()
    # Where nothing was tuned there is no trial; the column is empty, and of numbers.
    confirmed = runs.assign(**{"stage": "confirm", "param.family.split": np.nan})
    assert split_comparison_data(confirmed, runs[PROTOCOL]).empty


def test_the_split_comparison_has_every_trial_and_the_best_of_each_split(picture, trials):
    found = picture("digits", "splits")
    known = trials("digits").dropna(subset="split")
    assert set(found.data["family"]) == set(SPLITS)
    assert len(found.data) == len(known) == sum(drawn(found.live))
    best = found.data[found.data["best"]].set_index(["family", "split"])["bits_per_dim"]
    lowest = known.groupby(["family", "split"])["value"].min()
    pd.testing.assert_series_equal(best, lowest, check_names=False)


def test_the_excess_against_depth_is_the_best_of_each_depth(picture, trials):
    data = picture("moons", "excess-against-depth").data.set_index(["family", "depth"])["excess"]
    known = trials("moons").groupby(["family", "depth"])["excess"].min()
    pd.testing.assert_series_equal(data, known, check_names=False)


def test_parallel_coordinates_place_each_trial_between_the_ends_of_its_axes(picture, trials):
    found = picture("digits", "parallel-coordinates")
    known = trials("digits").set_index("run")
    assert set(found.data["axis"]) == {"learning_rate", "depth", "bits/dim"}
    assert found.data.groupby("run").size().eq(3).all()
    axes = {"learning_rate": ("learning_rate", np.log), "depth": ("depth", float)}
    for axis, (column, place) in {**axes, "bits/dim": ("value", float)}.items():
        values = known[column].map(place)
        positions = found.data[found.data["axis"] == axis].set_index("run")["position"]
        expected = (values - values.min()) / (values.max() - values.min())
        pd.testing.assert_series_equal(positions, expected, check_names=False, check_like=True)
    assert sum(drawn(found.live)) == len(found.data)
    best = found.data[found.data["best"]].groupby("family")["run"].nunique()
    assert (best == TRIALS // 5).all()


def test_one_family_has_all_of_its_own_axes(made):
    rows = made.leaderboard[made.leaderboard["data"] == "digits"]
    data = parallel_coordinates_data(made.frame.runs, rows, "residual")
    assert set(data["axis"]) == {"learning_rate", "depth", "lipschitz", "bits/dim"}
    half = data[(data["axis"] == "lipschitz") & (data["value"] == "0.9")]["position"]
    place = np.log(5) / np.log(0.5 / 0.03)  # even in log(1 - L)
    assert half.to_numpy() == pytest.approx(place)
    words = parallel_coordinates_data(made.frame.runs, rows, "realnvp")
    channel = words[(words["axis"] == "split") & (words["value"] == "channel")]
    assert (channel["position"] == 0).all()  # the first of three words
    labels = {
        a["text"] for a in parallel_coordinates_figure(words).to_dict()["layout"]["annotations"]
    }
    assert {"channel", "half", "parity"} <= labels


def test_what_matters_most_is_known_to_matter_most(picture):
    data = picture("digits", "importance").data
    assert set(data["family"]) == set(FAMILIES)
    for _, mine in data.groupby("family"):
        assert mine["importance"].sum() == pytest.approx(1)
        assert mine.iloc[0]["parameter"] == "learning_rate"
        # The record's learning rate costs a hundred times what its depth does.
        assert mine.iloc[0]["importance"] > 0.8


def test_the_inversion_curve_stands_beside_its_bound(picture, raw):
    data = picture("digits", "inversion-curve").data.set_index("iterations")
    runs = raw.runs[raw.runs["tags.flowbench.run"] == "full.residual.digits.confirm-0.full"].iloc[0]
    for n in data.index:
        assert data.loc[n, "max"] == runs[f"metrics.inversion/iterations/{n}/max"]
        assert data.loc[n, "bound"] == pytest.approx(0.5**n / (1 - 0.5))
    assert set(data["family"]) == {"residual"}


def test_sampling_time_grows_with_dimensions_as_in_the_record(made, raw):
    data = next(p for p in made.overview if p.name == "sampling-against-dimension").data
    assert set(zip(data["data"], data["dimensions"], strict=True)) == {("digits", 64), ("moons", 2)}
    for row in data.to_dict("records"):
        ending = "_at_1e-4" if row["family"] in ("planar", "sylvester", "residual") else ""
        rate = raw.metric(f"sampling/b1024/samples_per_second{ending}", data=row["data"])
        assert row["ms_per_sample"] == pytest.approx(1e3 / rate[row["family"]].iloc[0])


def test_the_critical_difference_diagram_draws_every_family_at_its_rank(made):
    picture = next(p for p in made.overview if p.name == "critical-difference")
    ranks = {t["name"]: t["x"][0] for t in picture.live.to_dict()["data"]}
    for row in picture.data.to_dict("records"):
        assert ranks[row["family"]] == row["average_rank"]
    assert picture.data["average_rank"].mean() == pytest.approx((len(FAMILIES) + 1) / 2)


def test_an_unknown_hyperparameter_gives_no_trials(made):
    rows = made.leaderboard[made.leaderboard["data"] == "rings"]
    assert with_parameter(finished_trials(made.frame.runs, rows), "family.nothing").empty


def test_of_very_many_trials_even_steps_are_drawn_and_the_best_and_the_worst():
    noise = np.random.default_rng(0)
    data = pd.DataFrame({
        "family": ["a"] * 1000 + ["b"] * 20, "bits_per_dim": noise.normal(size=1020),
    })  # fmt: skip
    drawn = thinned(data, ["family"])
    assert drawn["family"].value_counts().to_dict() == {"a": MOST_DRAWN, "b": 20}
    for _, group in data.groupby("family"):
        assert {group["bits_per_dim"].min(), group["bits_per_dim"].max()} <= set(
            drawn["bits_per_dim"]
        )


def test_the_excess_against_the_training_size_is_what_each_size_s_leaderboard_quotes(tmp_path):
    record = Record(tmp_path)
    sizes = {"moons": "100", "moons~2": "1000", "moons~3": "10000", "rings": "100"}
    for place, (data, size) in enumerate(sizes.items()):
        for family, above in (("nice", 0.1), ("glow", 0.3)):
            bits = 1.4 + above / 2**place
            record.add(RecordedRun(
                f"{family}.{data}", family, data, stage="confirm",
                labels={"data": "density", "log_det": "exact", "inverse": "analytic"},
                parameters={"data.name": data.partition("~")[0], "data.train_size": size},
                metrics={"test/bits_per_dim": bits, "test/nats": -bits * 2 * np.log(2),
                         "test/gain_over_gaussian": 2 - bits,
                         "test/excess_over_entropy": above / 2**place,
                         "test/excess_over_entropy_se": 0.01},
            ))  # fmt: skip
    found = contents(record.uri, "demo")
    (picture,) = [p for p in found.overview if p.name == "excess-against-train-size"]
    drawn_at = picture.data.set_index(["density", "family", "train_size"])["excess"].to_dict()
    assert drawn_at == {
        ("moons", family, size): pytest.approx(above / 2**place)
        for family, above in (("nice", 0.1), ("glow", 0.3))
        for place, size in enumerate((100.0, 1000.0, 10000.0))
    }  # of rings there is one size only: nothing to draw against
    assert sum(drawn(picture.live)) == 6
