"""Whether a sweep's three accounts agree: its run directories, Optuna's studies, the record."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flowbench.run_directory import RunDirectory, home
from flowbench.spec.sweep import SweepSpec
from flowbench.sweep.directory import SweepDirectory
from flowbench.sweep.phases import Cell
from flowbench.sweep.space import trial_count
from flowbench.sweep.status import sweep_runs
from flowbench.sweep.storage import Storage
from flowbench.sweep.study import Search
from flowbench.tracking import schema
from flowbench.tracking.facts import Facts
from flowbench.tracking.measurements import measurements
from flowbench.tracking.reader import read_runs, read_sweeps
from flowbench.tracking.store import default_tracking_uri

if TYPE_CHECKING:
    import pandas as pd
    from optuna.trial import FrozenTrial


def audit(name: str, storage: Storage | None = None, tracking_uri: str | None = None) -> list[str]:
    """Compare what is known of a finished sweep, wherever it is kept.

    Args:
        name: the sweep.
        storage: where its studies are; by default where the environment says.
        tracking_uri: where its record is; likewise.

    Returns:
        Each disagreement in a sentence; none where all is well.

    Raises:
        InputError: if there is no such sweep.
    """
    sweep = SweepDirectory(home() / name).spec()
    runs = {run.id: run for run in sweep_runs(name)}
    uri = tracking_uri or default_tracking_uri()
    return [
        *_directories(runs),
        *_studies(sweep, runs, storage or Storage()),
        *_record(name, runs, uri),
    ]


def _directories(runs: dict[str, RunDirectory]) -> Iterator[str]:
    for name, run in runs.items():
        ended = [attempt.number for attempt in run.attempts() if attempt.result() is not None]
        if not ended:
            yield f"{name} has no result"
        elif len(ended) > 1:
            yield f"{name} was run to its end {len(ended)} times"


def _studies(sweep: SweepSpec, runs: dict[str, RunDirectory], storage: Storage) -> Iterator[str]:
    expected = set()
    with storage.leases(sweep.name) as leases:
        for label in sweep.data_labels:
            for family in sweep.families:
                search = Search(storage.studies(), sweep, family, label)
                cell = Cell(search, sweep.confirm.seeds, leases)
                trials = {cell.run_id("tune", trial.number): trial for trial in search.begun_trials}
                for name, trial in trials.items():
                    yield from _trial(name, trial, runs.get(name))
                if sweep.stop_hopeless is None and sweep.budget.total is None:
                    count = trial_count(sweep, family)
                    if len(trials) != count:
                        yield f"{cell.name} has {len(trials)} trials, not {count}"
                confirmed = range(sweep.confirm.seeds if search.best() is not None else 0)
                expected |= set(trials) | {cell.run_id("confirm", number) for number in confirmed}
    for name in sorted(expected - set(runs)):
        yield f"{name} has no directory"
    for name in sorted(set(runs) - expected):
        yield f"{name} has a directory, but should not have been run"


def _trial(name: str, trial: "FrozenTrial", run: RunDirectory | None) -> Iterator[str]:
    """Compare a trial of Optuna's with its run."""
    result = run.result() if run is not None else None
    if not trial.state.is_finished():
        yield f"Optuna waits for the end of {name}"
    elif result is not None and trial.user_attrs.get("outcome") != result.outcome:
        yield f"{name} {result.outcome}, but Optuna knows {trial.user_attrs.get('outcome')}"


def _record(name: str, runs: dict[str, RunDirectory], uri: str) -> Iterator[str]:
    parents = int((read_sweeps(uri)["sweep"] == name).sum())
    if parents != 1:
        yield f"the record has {name} {parents} times"
    record = read_runs(uri, name)
    rows = record.groupby("run")
    measured = {each.id for run in runs.values() for each in measurements(run)}
    for entry in sorted(set(runs) | measured | set(record["run"])):
        times = rows.size().get(entry, 0)
        if times != 1 or entry not in set(runs) | measured:
            yield f"the record has {entry} {times} times"
        elif entry in runs and runs[entry].result() is not None:
            yield from _row(runs[entry], rows.get_group(entry).iloc[0])


def _row(run: RunDirectory, row: "pd.Series") -> Iterator[str]:
    """Compare a run with what the record has of it."""
    facts = Facts.read(run)
    if row["outcome"] != facts.result.outcome:
        yield f"{run.id} {facts.result.outcome}, but the record has {row['outcome']!r}"
    if row["spec_hash"] != facts.tags()[schema.SPEC_HASH]:
        yield f"the record has another specification of {run.id}"
    for metric, value in facts.result.metrics.items():
        known = float(row.get(metric, math.nan))
        if known != value and not (math.isnan(known) and math.isnan(value)):
            yield f"{metric} of {run.id} is {value}, but {known} in the record"
    if row.isna()["ended"]:
        yield f"the record has {run.id} only in part"
