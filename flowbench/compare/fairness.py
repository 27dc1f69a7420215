"""What makes a comparison unfair or incomplete, said where it can be seen."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from flowbench.compare.comparable import comparable
from flowbench.compare.differences import SEEDS_FOR_A_TEST
from flowbench.compare.quoted import words
from flowbench.compare.runs import Frame

READ = [
    "data", "family", "run", "stage", "outcome", "test/bits_per_dim", "budget_unit",
    "budget_total", "device_seconds", "label.precision", "label.draws", "label.compiled",
    "git_commit", "version.torch",
]  # fmt: skip
"""Columns of the joined frame that the checks read; a record may lack some."""
FAR_APART = 2.0
"""Ratio of parameter counts, or of times spent, above which two are not of a size."""


@dataclass(frozen=True)
class Flag:
    """One reason to read the numbers with care."""

    data: str
    """The data set it concerns; empty where it concerns all."""
    kind: str
    """The name of its check: `split`, `trials`, `budget`, `spent`, `sizes`, `devices`, `protocol`,
    `labels`, `seeds`, `points`, `versions`; `missing`; `data` for the data set's own warnings."""
    sentence: str


def flags(frame: Frame, table: pd.DataFrame) -> list[Flag]:
    """List what a sceptical reader should know before reading the leaderboard.

    Args:
        frame: all runs.
        table: the leaderboard made of them.
    """
    found: list[Flag] = []
    joined = frame.joined.reindex(columns=READ)
    for data, rows in table.groupby("data", sort=True):
        runs = joined[joined["data"] == data]
        for check in CHECKS:
            found += [Flag(str(data), check.__name__[1:], words) for words in check(rows, runs)]
    return [*found, *_missing(frame, table), *_warnings(frame)]


def _split(rows: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    tuned = rows[rows["split"] != "test"]
    if len(tuned) == len(rows):
        yield (
            "all numbers are from the validation data that the models were chosen by; they flatter"
        )
    elif len(tuned):
        yield f"{_names(tuned)} not confirmed on test data, so not ranked"
    tested = {run for ids in rows.loc[rows["split"] == "test", "run_ids"] for run in ids}
    searched = runs[(runs["stage"] == "tune") & runs["test/bits_per_dim"].notna()]
    searched = searched[~searched["run"].isin(tested)]
    if len(searched):
        yield f"{len(searched)} tuning runs were measured on test data: it is no longer unseen"


def _trials(rows: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    # Under a total budget the number of trials is what each family made of it.
    if rows["trials"].nunique() > 1 and runs["budget_total"].isna().all():
        yield "families had different numbers of trials: " + _each(rows, "trials")


def _budget(rows: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    if rows["budget"].nunique() > 1:
        yield "budgets differ: " + _each(
            rows.assign(budget=rows["budget"].replace("", "none")), "budget"
        )


def _spent(rows: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    """Equal epochs are not equal times; equal times are not equal work on unequal machines."""
    tuning = runs[(runs["stage"] == "tune") & runs["family"].isin(rows["family"])]
    spent = tuning.groupby("family")["device_seconds"].sum()
    spent = spent[spent > 0].sort_values()
    if len(spent) > 1 and spent.iloc[-1] > FAR_APART * spent.iloc[0]:
        yield (
            f"the search of {spent.index[-1]} took {spent.iloc[-1]:,.0f} device-seconds, that of"
            f" {spent.index[0]} {spent.iloc[0]:,.0f}"
        )
    in_seconds = (runs["budget_unit"] == "device_seconds").any()
    if in_seconds and rows["device"].nunique() > 1:
        yield "a budget in device-seconds was spent on different devices: " + _each(rows, "device")


def _sizes(rows: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    known = rows[rows["parameters"].notna()]
    if len(known) > 1 and known["parameters"].max() > FAR_APART * known["parameters"].min():
        least, most = known.sort_values("parameters").iloc[[0, -1]].to_dict("records")
        yield (
            f"models differ in size: {least['family']} has {int(least['parameters']):,} parameters,"
            f" {most['family']} {int(most['parameters']):,}"
        )


def _devices(rows: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    timed = rows[rows["latency_ms"].notna() | rows["speed_b64"].notna()]
    if timed["speed_device"].nunique() > 1:
        yield "speeds were measured on different devices and are not ranked: " + _each(
            timed, "speed_device"
        )
    beside = timed[timed["speed_alone"] == "no"]
    if len(beside):
        yield f"the speed of {_names(beside)} was not measured in a stage of its own"


def _protocol(rows: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    if rows["preprocess"].nunique(dropna=False) > 1:
        yield "preprocessing differs; each way has a ranking of its own"
    if rows["data_hash"].nunique(dropna=False) > 1:
        yield "the data changed between runs (their content hashes differ); ranked apart"
    for subject, name in (("speed", "sampling speeds"), ("inversion", "inversion errors")):
        known = rows[rows[f"{subject}_protocol"] != ""]
        if known[f"{subject}_protocol"].nunique() > 1:
            yield f"{name} were measured by different protocols and are not ranked: " + _each(
                known, f"{subject}_protocol"
            )
    if not comparable(rows.assign(inversion_protocol=""), "inversion"):
        points = rows[rows["inversion"].notna()].astype({"inversion_points": int})
        yield "inversion errors are maxima over different numbers of points, so not ranked: " + (
            _each(points, "inversion_points")
        )
    quoted = runs[runs["run"].isin([run for ids in rows["run_ids"] for run in ids])]
    for label, unlike in (
        ("precision", "models were measured in different precision"),
        ("draws", "likelihoods average different numbers of dequantization draws"),
        ("compiled", "some trainings were compiled and some not, so their times differ"),
    ):
        used = _used(quoted, f"label.{label}")
        if len(set(used.values())) > 1:
            yield f"{unlike}: " + ", ".join(f"{family} {used[family]}" for family in used)


def _labels(rows: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    bounds = rows[rows["log_det"].str.contains("bound")]
    estimates = rows[rows["log_det"].str.contains("estimate")]
    if len(bounds):
        yield f"the likelihood of {_names(bounds)} is a one-sided bound, beside exact values"
    if len(estimates) and len(estimates) < len(rows):
        yield f"the log-det of {_names(estimates)} is an estimate, beside exact values"
    if rows["data_label"].nunique() > 1:
        yield "densities stand beside likelihoods of dequantised data: " + _each(rows, "data_label")


def _seeds(rows: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    confirming = runs[runs["stage"] == "confirm"]
    for family, tried in confirming.groupby("family"):
        failed = int((tried["outcome"] != "completed").sum())
        if failed:
            yield (
                f"{failed} of {len(tried)} confirming runs of {family} failed; its mean is that of"
                " the others"
            )
    few = rows[rows["seeds"] < SEEDS_FOR_A_TEST]
    if rows["seeds"].nunique() > 1:
        yield "families had different numbers of seeds: " + _each(rows, "seeds")
    if len(few):
        fewest = int(few["seeds"].min())
        seeds = "one seed" if fewest == 1 else f"{fewest} seeds"
        yield f"{seeds} only; no significance is claimed below {SEEDS_FOR_A_TEST}"


def _points(rows: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    ranked = rows[rows["rank"].notna() & (rows["rank"] > 1)]
    unpaired = ranked[ranked["behind_best"].notna() & ranked["behind_best_se"].isna()]
    if len(unpaired):
        yield (
            f"no results by point of {_names(unpaired)} or of the best: the difference has no"
            " error and no test"
        )


def _versions(rows: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    quoted = runs[runs["run"].isin([run for ids in rows["run_ids"] for run in ids])]
    for column, what in (
        ("git_commit", "commits of the code"),
        ("version.torch", "versions of torch"),
    ):
        used = sorted(set(_used(quoted, column).values()))
        if len(used) > 1:
            yield f"different {what}: " + ", ".join(version[:12] for version in used)


CHECKS = (
    _split, _trials, _budget, _spent, _sizes, _devices, _protocol, _labels, _seeds, _points,
    _versions,
)  # fmt: skip


def _missing(frame: Frame, table: pd.DataFrame) -> Iterator[Flag]:
    """A family that ran on one data set and has no number on another."""
    families = sorted(set(frame.runs["family"].dropna()))
    for data in sorted(set(frame.runs["data"].dropna())):
        have = set(table.loc[table["data"] == data, "family"]) if len(table) else set()
        absent = [family for family in families if family not in have]
        if absent:
            yield Flag(data, "missing", f"no finished run of {', '.join(absent)}")


def _warnings(frame: Frame) -> Iterator[Flag]:
    for data, warnings in frame.warnings().items():
        for warning in warnings:
            yield Flag(data, "data", warning)


def _used(quoted: pd.DataFrame, column: str) -> dict[str, str]:
    """Return for each family the words of a column, of those that state any."""
    known = quoted[quoted[column].notna() & (quoted[column] != "")]
    return {str(family): words(cell) for family, cell in known.groupby("family")[column]}


def _names(rows: pd.DataFrame) -> str:
    return ", ".join(rows["family"])


def _each(rows: pd.DataFrame, column: str) -> str:
    return ", ".join(f"{row['family']} {row[column]}" for _, row in rows.iterrows())
