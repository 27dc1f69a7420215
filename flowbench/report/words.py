"""Which flow for these data, in words: every sentence a function of the tables."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from flowbench.compare.columns import significant, with_error
from flowbench.compare.comparable import common_batch, comparable, sampling_times
from flowbench.compare.ranks import DATA_SETS_FOR_A_TEST, Ranks

SURE = 2.0
"""Standard errors by which a difference counts as one where there are too few seeds for a test."""


def statements(
    rows: pd.DataFrame,
    pairs: pd.DataFrame,
    winners: pd.DataFrame,
    tuned: pd.DataFrame,
    baselines: Mapping[str, float],
) -> tuple[str, ...]:
    """Say which family serves one data set best in what, by how much, and how sure that is.

    Args:
        rows: the data set's rows of the leaderboard, best first.
        pairs: its rows of `compare.differences.differences_table`.
        winners: its rows of `compare.best_after.winners_table`.
        tuned: its rows of `compare.tuned.tuned_table`.
        baselines: its baselines in bits/dim, by their names.

    Returns:
        Sentences, the one about the likelihood first.
    """
    said = (
        best_likelihood(rows, pairs), behind_gaussian(rows), at_constant_volume(rows, baselines),
        most_exact(rows), fastest(rows), all_round(rows), by_budget(winners), by_tuning(tuned),
    )  # fmt: skip
    return tuple(sentence for sentence in said if sentence)


def best_likelihood(rows: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Say which family models the data best, and whether others can be told from it."""
    data, best = rows["data"].iloc[0], rows.iloc[0]
    ranked = rows[rows["rank"].notna()]
    if best["ranked_by"] == "gain":
        gain = with_error(best["gain"], best["gain_se"])
        measure = f"the largest gain over the Gaussian, {gain} bits/dim"
    else:
        value = with_error(best["bits_per_dim"], best["bits_per_dim_se"])
        measure = f"the lowest bits/dim, {value}"
    tested = best["split"] == "test"
    where = "on test data" if tested else "on the validation data it was tuned on"
    sentence = f"On {data}, {best['family']} has {measure} ({where}, {_seeds(best['seeds'])})"
    return f"{sentence}{_lead(ranked, pairs)}."


def _lead(ranked: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Say how far the second is behind, and which families cannot be told from the best."""
    if len(ranked) < 2:
        return "; no other family finished to compare it with"
    best, second = ranked["family"].iloc[0], ranked["family"].iloc[1]
    against = pairs[(pairs["family"] == best) & pairs["difference"].notna()]
    if second not in set(against["other"]):
        return ""
    pair = against[against["other"] == second].iloc[0]
    if math.isnan(pair["se"]):
        return f", {pair['difference']:.3f} ahead of {second}"
    gap = with_error(pair["difference"], pair["se"])
    tested = against["p_holm"].notna()
    if tested.any():
        close = against[against["p_holm"].isna() | (against["verdict"] != "different")]["other"]
        how = f"p = {significant(pair['p_holm'], 2)} by Holm's correction"
    else:
        close = against[against["difference"] <= SURE * against["se"]]["other"]
        how = "too few seeds for a test"
    if not len(close):
        return f", {gap} ahead of {second} ({how})"
    return f", but {listed(list(close))} cannot be told from it: {second} is {gap} behind ({how})"


def behind_gaussian(rows: pd.DataFrame) -> str:
    """Say where no flow is worth its while: a Gaussian models the data better."""
    best = rows.iloc[0]
    if not best["gain"] < 0:
        return ""
    gap = with_error(-best["gain"], best["gain_se"])
    return (
        f"No family beats the full-covariance Gaussian: {best['family']} is {gap} bits/dim"
        " behind it."
    )


def at_constant_volume(rows: pd.DataFrame, baselines: Mapping[str, float]) -> str:
    """Say how near to the entropy a flow of constant volume can come, beside where nice is."""
    nice = rows[(rows["family"] == "nice") & rows["excess"].notna()]
    if nice.empty or not {"entropy", "volume-preserving limit"} <= set(baselines):
        return ""
    row = nice.iloc[0]
    to_nats = row["dimensions"] * math.log(2)
    floor = (baselines["volume-preserving limit"] - baselines["entropy"]) * to_nats
    return (
        f"nice exceeds the entropy by {with_error(row['excess'], row['excess_se'])} nats; no flow"
        f" that scales all volumes alike, as it does, comes closer than {floor:.3f} nats."
    )


def most_exact(rows: pd.DataFrame) -> str:
    """Say which family comes back most exactly, and which least.

    Nothing is said where they were not measured alike: a maximum grows with the number of points.
    """
    ranked = rows[rows["rank"].notna() & rows["inversion"].notna()].sort_values("inversion")
    if len(ranked) < 2 or not comparable(ranked, "inversion"):
        return ""
    exact, last = ranked.iloc[0], ranked.iloc[-1]
    if not math.isfinite(exact["inversion"]):
        return "No family brings every point back to a number."
    error = significant(exact["inversion"], 2)
    sentence = f"{exact['family']} is the most exactly invertible (largest error {error}"
    if math.isinf(last["inversion"]):
        return f"{sentence}; {last['family']} ends in no number for some points)."
    return f"{sentence}; {last['family']} has the largest, {significant(last['inversion'], 2)})."


def fastest(rows: pd.DataFrame) -> str:
    """Say which family samples fastest, how fast, and how many times as fast as the best model.

    Nothing is said where they were not timed alike.
    """
    ranked = rows[rows["rank"].notna()]
    batch = common_batch(ranked)
    if batch is None:
        return ""
    speed = f"speed_b{batch}"
    timed = ranked[ranked[speed].notna()]
    if len(timed) < 2 or not comparable(timed, speed):
        return ""
    quick = timed.iloc[timed[speed].argmax()]
    best = timed.iloc[0]
    than = best if best["family"] != quick["family"] else timed.iloc[timed[speed].argmin()]
    rate, other = (rounded(row[speed]) for row in (quick, than))
    return (
        f"{quick['family']} samples {times(quick[speed] / than[speed])} times as fast as"
        f" {than['family']} ({rate} against {other} samples/s at batch {batch:,})."
    )


def all_round(rows: pd.DataFrame) -> str:
    """Name the Pareto front of likelihood, sampling speed and inversion error."""
    ranked = rows[rows["rank"].notna()]
    front = list(ranked["family"][ranked["front"].astype(bool)])
    times = sampling_times(ranked)
    if not front or len(front) == len(ranked) or times is None:
        return ""
    whole = times.notna() & ranked["inversion"].notna()
    without = list(ranked["family"][~whole])
    parts = [
        f"On the Pareto front of likelihood, sampling speed and inversion error: {listed(front)}"
    ]
    if len(front) + len(without) < len(ranked):
        parts.append("for each of the others a family is at least as good in all three")
    if without:
        parts.append(f"not all three are known of {listed(without)}")
    return "; ".join(parts) + "."


def by_budget(winners: pd.DataFrame) -> str:
    """Say which family is to be expected best after how many trials."""
    if winners.empty or winners["last"].max() < 3:
        return ""
    parts = []
    for row in winners.to_dict("records"):
        first, last = int(row["first"]), int(row["last"])
        when = f"{first} to {last} trials" if last > first else f"{last} trial{'s' * (last > 1)}"
        parts.append(f"{row['family']} after {when}")
    end = winners.iloc[-1]
    unit = str(end["unit"]).replace("_", "-")
    spent = f" ({end['spent']:,.4g} {unit} a family)" if not math.isnan(end["spent"]) else ""
    return f"To be expected best on validation data: {', '.join(parts)}{spent}."


def by_tuning(tuned: pd.DataFrame) -> str:
    """Say which family gained most by the search over its default configuration."""
    gained = tuned[tuned["gained"] > 0].sort_values("gained", ascending=False)
    if len(tuned) < 2 or gained.empty:
        return ""
    most = gained.iloc[0]
    gain = with_error(most["gained"], most["gained_se"])
    return (
        f"Tuning was worth most to {most['family']}: its best of {int(most['trials'])} trials is"
        f" {gain} bits/dim below its default, on the validation data it was chosen by."
    )


def across(ranks: Ranks) -> str:
    """Say what the average ranks over the data sets show; nothing of a single data set."""
    if len(ranks.data_sets) < 2 or len(ranks.families) < 2:
        return ""
    best, average = ranks.families[0], ranks.average[0]
    count = len(ranks.data_sets)
    sentence = f"Over {count} data sets {best} has the best average rank, {average:.2f}"
    if math.isnan(ranks.p):
        return f"{sentence}; nothing is tested below {DATA_SETS_FOR_A_TEST} data sets."
    alike = next((group for group in ranks.groups if best in group), ())
    others = [family for family in alike if family != best]
    told = f"; {listed(others)} cannot be told from it" if others else ", told apart from all"
    return (
        f"{sentence}{told} (Friedman's p = {significant(ranks.p, 2)}, critical difference"
        f" {ranks.critical_difference:.2f})."
    )


def listed(names: Sequence[str]) -> str:
    """Join names with commas and a last `and`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def rounded(value: float) -> str:
    """Write a rate with two digits."""
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.2g}"


def times(ratio: float) -> str:
    """Write how many times something is something else, with two digits."""
    return f"{float(f'{ratio:.2g}'):,.0f}" if ratio >= 10 else f"{ratio:.1f}"


def _seeds(count: int) -> str:
    return f"{count} seeds" if count != 1 else "1 seed"
