"""The runs that figures of hyperparameters are made of: finished trials and what they varied."""

import math

import pandas as pd

from flowbench.compare.runs import PROTOCOL

PREFIX = "param."
SEARCHED = ("param.family.", "param.training.")
"""Where a search's keys lie in the record; what data and measurement are is no choice of a flow."""
MERIT = "val/bits_per_dim"
"""What trials are judged by: validation data, as the search was."""

MOST_DRAWN = 250
"""Trials of a family that a figure draws: more overprint each other, and make a page heavy."""


def finished_trials(runs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of one data set that a configuration was chosen among.

    Args:
        runs: all runs.
        rows: the data set's rows of the leaderboard.
    """
    here = (runs[PROTOCOL] == rows[PROTOCOL].iloc[0]).all(axis=1)
    chosen = runs["stage"].isin(("tune", "single")) & (runs["measures"] == "")
    done = (runs["outcome"] == "completed") & runs[MERIT].notna()
    return runs[here & chosen & done]


def with_parameter(trials: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return the trials that state a hyperparameter, as the column of its short name.

    Args:
        trials: from `finished_trials`.
        key: a key of the specification, such as `family.depth`.
    """
    column, name = PREFIX + key, short(PREFIX + key)
    if column not in trials:
        return trials.iloc[:0].assign(**{name: pd.Series(dtype=object)})
    stated = trials[trials[column].notna()]
    return stated.assign(**{name: valued(stated[column])})


def searched(trials: pd.DataFrame) -> list[str]:
    """Return the columns of the hyperparameters that differ among some trials.

    What the chosen ones differ in may depend on a choice: a value that is missing is no value.
    """
    return [
        str(column)
        for column in trials.columns
        if str(column).startswith(SEARCHED)
        and str(column) != "param.family.name"
        and trials[column].nunique() > 1
    ]


def thinned(trials: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return no more rows of a group than can be told apart, from its best to its worst.

    Args:
        trials: rows with a column `bits_per_dim`.
        by: the columns that make a group.
    """
    ordered = trials.sort_values("bits_per_dim", kind="stable")
    groups = ordered.groupby(by, sort=False)
    place, size = groups.cumcount(), groups["bits_per_dim"].transform("size")
    # Of a large group the rows where the even steps of a ruler with so many marks end.
    mark = (place * (MOST_DRAWN - 1) / (size - 1).clip(lower=1)).astype(int)
    first = mark.groupby([ordered[column] for column in by]).diff() != 0
    return ordered[(size <= MOST_DRAWN) | first].sort_index()


def short(column: str) -> str:
    """Return a hyperparameter's name without its section."""
    return column.rpartition(".")[2]


def valued(texts: pd.Series) -> pd.Series:
    """Return the record's texts as numbers where all of them are numbers."""
    numbers = pd.to_numeric(texts, errors="coerce")
    return numbers.astype(float) if bool(numbers.notna().all()) else texts.astype(str)


def gap(lipschitz: float) -> float:
    """Return the place of a Lipschitz constant on an axis that is even in log(1 - L)."""
    return -math.log10(1 - lipschitz)
