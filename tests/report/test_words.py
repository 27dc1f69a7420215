"""Each sentence of the summary, computed again from the raw record by a few lines of SciPy."""

import re
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from full_record import MORE, TRIALS
from scipy import stats
from synthetic_record import FAMILIES

from flowbench.report import words

pytestmark = pytest.mark.xdist_group("full-report")
LN2 = np.log(2)
EXPECTED = "To be expected best on validation data: "


def says(text, value):
    """A number as written is the value, rounded to its last digit."""
    plain = text.replace(",", "")
    mantissa, _, power = plain.partition("e")
    unit = 10.0 ** (-len(mantissa.partition(".")[2]) + int(power or 0))
    return abs(float(plain) - value) <= 0.5001 * unit


def said(section, data, start):
    """Return the statement on a data set that begins so."""
    return next(s for s in section[data].statements if re.match(start, s))


def crossed(scores):
    """Mean squares of seeds, points and rest, of a row a point and a column a seed."""
    n, s = scores.shape
    seeds, points = scores.mean(0), scores.mean(1)
    rest = scores - seeds - points[:, None] + scores.mean()
    return n * seeds.var(ddof=1), s * points.var(ddof=1), (rest**2).sum() / ((n - 1) * (s - 1))


def paired(a, b):
    """Difference of two families, its error and p, as design section 11 defines them."""
    n, s = a.shape
    difference = a.mean(1) - b.mean(1)
    variance, bottom = difference.var(ddof=1) / n, (difference.var(ddof=1) / n) ** 2 / (n - 1)
    for side in (a, b):
        seeds, _, rest = crossed(side)
        variance += max(seeds - rest, 0) / (s * n)
        bottom += (seeds / (s * n)) ** 2 / (s - 1) + (rest / (s * n)) ** 2 / ((s - 1) * (n - 1))
    se, df = np.sqrt(variance), variance**2 / bottom
    return difference.mean(), se, 2 * stats.t.sf(abs(difference.mean()) / se, df)


def holm(p):
    order = np.argsort(p)
    steps = np.maximum.accumulate((len(p) - np.arange(len(p))) * np.asarray(p)[order])
    return np.minimum(steps, 1)[np.argsort(order)]


@pytest.mark.parametrize(("data", "dimensions"), [("digits", 64), ("moons", 2)])
def test_the_best_likelihood_its_error_and_its_lead(section, raw, data, dimensions):
    statement = said(section, data, f"On {data}")
    bits = raw.metric("test/bits_per_dim", data=data, stage="confirm").groupby(level=0).mean()
    best, second = bits.sort_values().index[:2]
    points = {f: x / (dimensions * LN2) for f, x in raw.points(data).items()}
    seeds, rows, rest = crossed(points[best])
    se = np.sqrt((max(seeds - rest, 0) + rows) / points[best].size)
    pairs = {(a, b): paired(points[a], points[b]) for a, b in combinations(points, 2)}
    corrected = dict(zip(pairs, holm([p for *_, p in pairs.values()]), strict=True))
    pair = (best, second) if (best, second) in pairs else (second, best)

    value = r"([\d.]+) ± ([\d.]+)"
    found = re.match(
        rf"On {data}, (\w+) has (.*), {value}(?: bits/dim)? \(on test data, 5 seeds\), (?:but (.*)"
        rf" cannot be told from it: )?(?:(\w+) is )?{value} (?:ahead of (\w+)|behind)"
        r" \(p = ([\d.e-]+) by Holm's correction\)\.$",
        statement,
    )
    assert found, statement
    family, measure, mean, error, alike, rival, gap, gap_error, other, p = found.groups()
    assert family == best
    assert (rival or other) == second
    gains = raw.metric("test/gain_over_gaussian", data=data, stage="confirm").groupby(level=0)
    quoted = {"digits": bits, "moons": gains.mean()}[data][best]
    assert measure == {
        "digits": "the lowest bits/dim", "moons": "the largest gain over the Gaussian"
    }[data]  # fmt: skip
    assert says(mean, quoted)
    assert says(error, se)
    assert says(gap, abs(pairs[pair][0]))
    assert says(gap_error, pairs[pair][1])
    assert says(p, corrected[pair])
    close = {f for f in FAMILIES if f != best and corrected.get((best, f), 0) >= 0.05}
    close |= {f for f in FAMILIES if f != best and corrected.get((f, best), 0) >= 0.05}
    assert set(re.findall(r"\w+", (alike or "").replace(" and ", " "))) == close


@pytest.mark.parametrize("data", ["digits", "moons", "rings"])
def test_the_most_and_the_least_exactly_invertible(section, raw, data):
    errors = raw.metric("inversion/flow/xzx/max", data=data, stage="confirm")
    worst = errors.groupby(level=0).max().sort_values()
    found = re.match(
        r"(\w+) is the most exactly invertible \(largest error ([\d.e-]+); (\w+) has the largest,"
        r" ([\d.e-]+)\)\.$",
        said(section, data, r"\w+ is the most exactly"),
    )
    assert found.group(1, 3) == (worst.index[0], worst.index[-1])
    assert says(found[2], worst.iloc[0])
    assert says(found[4], worst.iloc[-1])


def speeds(raw, data):
    name = "sampling/b1024/samples_per_second"
    exact = raw.metric(name, data=data)
    matched = raw.metric(f"{name}_at_1e-4", data=data)
    return pd.concat([exact, matched]).groupby(level=0).median().sort_values(ascending=False)


@pytest.mark.parametrize("data", ["digits", "moons"])
def test_how_many_times_as_fast_the_fastest_is(section, raw, data):
    rates = speeds(raw, data)
    bits = raw.metric("test/bits_per_dim", data=data, stage="confirm").groupby(level=0).mean()
    found = re.match(
        r"(\w+) samples ([\d.,]+) times as fast as (\w+) \(([\d,]+) against ([\d,]+) samples/s at"
        r" batch 1,024\)\.$",
        said(section, data, r"\w+ samples"),
    )
    assert found.group(1, 3) == (rates.index[0], bits.idxmin())
    assert says(found[2], rates.iloc[0] / rates[bits.idxmin()])
    assert float(found[4].replace(",", "")) == pytest.approx(rates.iloc[0], rel=0.05)
    assert float(found[5].replace(",", "")) == pytest.approx(rates[bits.idxmin()], rel=0.05)


@pytest.mark.parametrize("data", ["digits", "moons"])
def test_the_front_of_all_three_measures(section, raw, data):
    bits = raw.metric("test/bits_per_dim", data=data, stage="confirm").groupby(level=0).mean()
    errors = raw.metric("inversion/flow/xzx/max", data=data, stage="confirm")
    costs = pd.DataFrame({
        "bits": bits, "time": 1 / speeds(raw, data), "error": errors.groupby(level=0).max()
    })  # fmt: skip
    front = set()
    for family, mine in costs.iterrows():
        better = (costs <= mine).all(axis=1) & (costs < mine).any(axis=1)
        if not better.any():
            front.add(family)
    statement = said(section, data, "On the Pareto front")
    names = statement.partition(": ")[2].partition(";")[0]
    assert set(re.findall(r"\w+", names.replace(" and ", " "))) == front


@pytest.mark.parametrize("data", ["digits", "moons"])
def test_who_is_to_be_expected_best_at_which_budget(section, raw, data):
    trials = raw.metric("val/bits_per_dim", data=data, stage="tune")
    means = {  # over every choice of k trials
        family: [np.mean([min(c) for c in combinations(mine, k)]) for k in range(1, TRIALS + 1)]
        for family, mine in trials.groupby(level=0)
    }
    best = pd.DataFrame(means, index=range(1, TRIALS + 1)).idxmin(axis=1)
    statement = said(section, data, EXPECTED).removeprefix(EXPECTED)
    for family, first, last in re.findall(r"(\w+) after (?:(\d+) to )?(\d+) trials?", statement):
        for k in range(int(first or last), int(last) + 1):
            assert best.pop(k) == family
    assert best.empty
    assert f"({TRIALS * 20} epochs a family)" in statement


def test_a_family_that_is_never_far_from_its_best_wins_at_small_budgets(section):
    assert re.search(r"planar after .*, realnvp after ", said(section, "moons", EXPECTED))


@pytest.mark.parametrize("data", ["digits", "moons"])
def test_what_tuning_was_worth(section, raw, data):
    trials = raw.metric("val/bits_per_dim", data=data, stage="tune")
    default = trials[trials.index.get_level_values(1).str.endswith(".0001")].groupby(level=0)
    gained = (default.first() - trials.groupby(level=0).min()).sort_values()
    found = re.match(
        r"Tuning was worth most to (\w+): its best of (\d+) trials is ([\d.]+) bits/dim below its"
        r" default, on the validation data it was chosen by\.$",
        said(section, data, "Tuning"),
    )
    assert found.group(1, 2) == (gained.index[-1], str(TRIALS))
    assert says(found[3], gained.iloc[-1])


def test_the_average_ranks_over_data_sets(made, raw):
    bits = raw.runs[raw.runs["tags.flowbench.stage"] == "confirm"].pivot_table(
        index="tags.flowbench.data", columns="tags.flowbench.family",
        values="metrics.test/bits_per_dim",
    )  # fmt: skip
    assert set(bits.index) == {"digits", "moons", *MORE}
    ranks = stats.rankdata(bits.to_numpy(), axis=1).mean(0)
    p = stats.friedmanchisquare(*bits.to_numpy().T).pvalue
    k, n = len(FAMILIES), len(bits)
    critical = stats.studentized_range.ppf(0.95, k, np.inf) / np.sqrt(2)
    critical *= np.sqrt(k * (k + 1) / (6 * n))
    found = re.match(
        r"Over 5 data sets (\w+) has the best average rank, ([\d.]+)(?:; (.*) cannot be told from"
        r" it|, told apart from all) \(Friedman's p = ([\d.e-]+), critical difference ([\d.]+)\)",
        made.ranks,
    )
    assert found[1] == bits.columns[ranks.argmin()]
    assert says(found[2], ranks.min())
    assert says(found[4], p)
    assert says(found[5], critical)
    alike = set(re.findall(r"\w+", (found[3] or "").replace(" and ", " ")))
    near = bits.columns[(ranks - ranks.min() < critical) & (ranks > ranks.min())]
    assert alike == set(near)


def ranked(**columns):
    """Two families' rows of a leaderboard."""
    known = {
        "data": "d", "family": ["a", "b"], "rank": [1.0, 2.0], "ranked_by": "bits_per_dim",
        "bits_per_dim": [1.0, 1.1], "bits_per_dim_se": 0.01, "split": "test", "seeds": 5,
        "inversion": [1e-6, 1e-5], "inversion_points": 100.0, "inversion_protocol": "quick",
        "speed_b1": np.nan, "speed_b64": np.nan, "speed_b1024": [10.0, 140.0],
        "speed_device": "cpu", "speed_protocol": "quick", "front": [True, True],
    }  # fmt: skip
    return pd.DataFrame({**known, **columns})


def pair(**columns):
    known = {
        "family": "a", "other": ["b"], "difference": 0.1, "se": 0.04, "p_holm": 0.2,
        "verdict": "not told apart",
    }  # fmt: skip
    return pd.DataFrame({**known, **columns})


def test_what_is_not_told_apart_is_not_said_to_be_behind():
    close = words.best_likelihood(ranked(), pair())
    assert "but b cannot be told from it: b is 0.100 ± 0.040 behind (p = 0.20" in close
    few = words.best_likelihood(ranked(seeds=3), pair(p_holm=np.nan, verdict="not tested"))
    assert "3 seeds), 0.100 ± 0.040 ahead of b (too few seeds for a test)" in few
    within = pair(p_holm=np.nan, verdict="not tested", se=0.06)
    assert "but b cannot be told from it" in words.best_likelihood(ranked(seeds=3), within)


def test_a_number_from_the_data_it_was_tuned_on_says_so():
    assert "on the validation data it was tuned on" in words.best_likelihood(
        ranked(split="validation (tuned on)"), pair()
    )


def test_what_was_not_measured_alike_is_not_compared():
    assert words.fastest(ranked()).startswith("b samples 14 times as fast as a")
    assert words.fastest(ranked(speed_device=["cpu", "gpu"])) == ""
    assert words.most_exact(ranked()).startswith("a is the most exactly invertible")
    assert words.most_exact(ranked(inversion_points=[100.0, 1024.0])) == ""


def test_a_family_that_lacks_a_measure_is_not_said_to_be_beaten():
    front = "On the Pareto front of likelihood, sampling speed and inversion error: b; "
    beaten = words.all_round(ranked(front=[False, True]))
    assert beaten == f"{front}for each of the others a family is at least as good in all three."
    untimed = ranked(front=[False, True], speed_b1024=[np.nan, 140.0])
    assert words.all_round(untimed) == f"{front}not all three are known of a."
    assert words.all_round(ranked()) == ""


def test_a_gaussian_that_is_better_is_said_to_be():
    assert words.behind_gaussian(ranked(gain=[0.1, -0.1], gain_se=0.01)) == ""
    assert words.behind_gaussian(ranked(gain=[-0.034, -0.1], gain_se=0.013)) == (
        "No family beats the full-covariance Gaussian: a is 0.034 ± 0.013 bits/dim behind it."
    )


def test_a_family_that_ends_in_no_number_is_said_to():
    statement = words.most_exact(ranked(inversion=[np.inf, 1e-5]))
    assert statement.startswith("b is the most exactly invertible")
    assert "a ends in no number for some points" in statement
    assert words.most_exact(ranked(inversion=np.inf)) == (
        "No family brings every point back to a number."
    )


def test_nice_stands_beside_what_no_flow_of_constant_volume_can_pass():
    rows = pd.DataFrame(
        {"family": ["realnvp", "nice"], "excess": [0.05, 0.322], "excess_se": [0.001, 0.002]}
        | {"dimensions": [2.0, 2.0]}
    )
    # Checkerboard: ln 32 nats, and 0.307 above it.
    entropy = np.log(32) / (2 * LN2)
    limits = {"entropy": entropy, "volume-preserving limit": entropy + 0.307 / (2 * LN2)}
    sentence = words.at_constant_volume(rows, limits)
    assert sentence.startswith("nice exceeds the entropy by 0.3220 ± 0.0020 nats;")
    assert sentence.endswith("closer than 0.307 nats.")
    assert words.at_constant_volume(rows[:1], limits) == ""
    assert words.at_constant_volume(rows, {"Gaussian": 3.0}) == ""
