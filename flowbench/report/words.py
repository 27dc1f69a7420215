"""Which flow for these data: one sentence computed from the leaderboard."""

import math

import pandas as pd

from flowbench.compare.columns import significant, with_error

SURE = 2.0
"""Standard errors by which a difference counts as one; a test comes with more seeds."""


def answer(rows: pd.DataFrame) -> str:
    """Say which family serves one data set best, by how much, and how far that can be trusted.

    Args:
        rows: the data set's rows of the leaderboard, best first.
    """
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
    return f"{sentence}{_lead(ranked)}.{_others(ranked)}"


def _lead(ranked: pd.DataFrame) -> str:
    """Say how far the second is behind, and which families cannot be told from the best."""
    if len(ranked) < 2:
        return "; no other family finished to compare it with"
    second = ranked.iloc[1]
    gap, error = second["behind_best"], second["behind_best_se"]
    if math.isnan(gap):
        return ""
    if math.isnan(error):
        return f", {gap:.3f} ahead of {second['family']}"
    close = ranked[ranked["behind_best"] <= SURE * ranked["behind_best_se"]]["family"]
    if len(close):
        return (
            f", but {_and(list(close))} cannot be told from it (within {SURE:.0f} standard errors)"
        )
    return f", {with_error(gap, error)} ahead of {second['family']}"


def _others(ranked: pd.DataFrame) -> str:
    """Say who samples fastest and who inverts most exactly, where that was measured."""
    found = []
    speed = next(
        (b for b in ("speed_b1024", "speed_b64", "speed_b1") if ranked[b].notna().any()), None
    )
    if speed and len(ranked) > 1 and ranked["speed_device"].nunique() == 1:
        quick = ranked.sort_values(speed, ascending=False).iloc[0]
        times = quick[speed] / ranked[speed].iloc[0]
        batch = speed.removeprefix("speed_b")
        rate = f"{float(f'{quick[speed]:.2g}'):,.0f} samples/s at batch {batch}"
        more = f", {times:.2g} times the winner's speed" if times > 1.05 else ""
        found.append(f"Fastest to sample: {quick['family']} ({rate}{more})")
    if ranked["inversion"].notna().sum() > 1:
        exact = ranked.sort_values("inversion").iloc[0]
        error = significant(exact["inversion"], 2)
        found.append(f"Most exactly invertible: {exact['family']} (largest error {error})")
    return "".join(f" {words}." for words in found)


def _seeds(count: int) -> str:
    return f"{count} seeds" if count != 1 else "1 seed"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
