"""Learning curves, kept once read: a run that ended has the same ones for ever."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from flowbench.tracking.reader import NO_STEPS, NO_VALUES, read_curve
from flowbench.tracking.source import reading

TABLE = """
CREATE TABLE IF NOT EXISTS curves (
    run TEXT, metric TEXT, steps BLOB, numbers BLOB, PRIMARY KEY (run, metric)
) WITHOUT ROWID
"""
NAMED_AT_ONCE = 500
BUSY_SECONDS = 30.0
AT_ONCE = 8
"""Questions to a server at the same time: most of one is waiting."""

Curve = tuple[str, str, bytes, bytes]
"""A run, a metric, its steps as int64 and its values as float64."""


class Curves:
    """A file of curves; several processes may write it at once.

    Args:
        tracking_uri: the record's address.
        path: the file.
    """

    def __init__(self, tracking_uri: str, path: Path) -> None:
        self._uri = tracking_uri
        self._path = path

    def read(
        self, runs: Sequence[str], metrics: Sequence[str], ended: Collection[str]
    ) -> pd.DataFrame:
        """Return curves: columns `mlflow_id metric step value`, by run and metric as asked for.

        Args:
            runs: by their names in MLflow.
            metrics: names; a run that lacks one has no rows of it.
            ended: those of the runs that will not change: their curves are kept.
        """
        runs, metrics = list(dict.fromkeys(runs)), sorted(set(metrics))
        with self._open() as file:
            curves = {curve[:2]: curve for curve in _kept(file, runs, metrics)}
            read = self._fetch([key for key in product(runs, metrics) if key not in curves])
            curves |= {curve[:2]: curve for curve in read}
            with file:
                file.executemany(
                    "INSERT OR REPLACE INTO curves VALUES (?, ?, ?, ?)",
                    [curve for curve in read if curve[0] in ended],
                )
        return _frame(curves[key] for key in product(runs, metrics))

    def forget(self, runs: Iterable[str]) -> None:
        """Drop the curves of runs."""
        if self._path.is_file():
            with self._open() as file, file:
                file.executemany("DELETE FROM curves WHERE run = ?", [(run,) for run in runs])

    def _fetch(self, keys: Sequence[tuple[str, str]]) -> list[Curve]:
        if not keys:  # nor is MLflow imported, which takes seconds
            return []
        with reading(self._uri):
            if not self._uri.startswith("http"):
                return [self._curve(*key) for key in keys]
            with ThreadPoolExecutor(AT_ONCE) as threads:
                return list(threads.map(lambda key: self._curve(*key), keys))

    def _curve(self, run: str, metric: str) -> Curve:
        steps, values = read_curve(self._uri, run, metric)
        return run, metric, steps.tobytes(), values.tobytes()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = self._connect()
        except sqlite3.OperationalError:  # no room, no right
            raise
        except sqlite3.DatabaseError:  # a damaged file: what was in it is read again
            for part in ("", "-wal", "-shm"):
                Path(f"{self._path}{part}").unlink(missing_ok=True)
            file = self._connect()
        with closing(file):
            yield file

    def _connect(self) -> sqlite3.Connection:
        file = sqlite3.connect(self._path, timeout=BUSY_SECONDS)
        try:
            # Quick, and a crash of the machine takes the last curves at most.
            file.execute("PRAGMA journal_mode=WAL")
            file.execute("PRAGMA synchronous=NORMAL")
            file.execute(TABLE)
        except BaseException:
            file.close()
            raise
        return file


def _kept(file: sqlite3.Connection, runs: Sequence[str], metrics: Sequence[str]) -> Iterator[Curve]:
    for first in range(0, len(runs), NAMED_AT_ONCE):
        some = runs[first : first + NAMED_AT_ONCE]
        marks = [", ".join("?" * len(names)) for names in (some, metrics)]
        query = f"SELECT * FROM curves WHERE run IN ({marks[0]}) AND metric IN ({marks[1]})"  # noqa: S608 - question marks only
        yield from file.execute(query, [*some, *metrics])


def _frame(curves: Iterable[Curve]) -> pd.DataFrame:
    names, metrics, steps, values = [], [], [], []
    for run, metric, some_steps, some_values in curves:
        steps.append(np.frombuffer(some_steps, np.int64))
        values.append(np.frombuffer(some_values, np.float64))
        names += [run] * len(steps[-1])
        metrics += [metric] * len(steps[-1])
    return pd.DataFrame(
        {
            "mlflow_id": pd.Series(names, dtype=str),
            "metric": pd.Series(metrics, dtype=str),
            "step": np.concatenate([NO_STEPS, *steps]),
            "value": np.concatenate([NO_VALUES, *values]),
        }
    )
