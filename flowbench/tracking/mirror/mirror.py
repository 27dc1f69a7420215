"""The local copy of a record: what comparisons, reports and the dashboard read.

<home>/mirror/<record>.v<FORMAT>/
                                 runs.parquet    all runs
                                 curves.db       learning curves, of the runs that were asked for
                                 files/<run>/    their artifacts, where the record is elsewhere
                                 seen            which state of a local database they are of
                                 .lock           held by whoever brings it up to date

All of it can be deleted at any time; it is made again.
"""

import fcntl
import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flowbench.run_directory import home
from flowbench.tracking import schema
from flowbench.tracking.mirror.artifacts import Artifacts
from flowbench.tracking.mirror.catching_up import CatchingUp, Progress
from flowbench.tracking.mirror.curves import Curves
from flowbench.tracking.mirror.table import (
    ENDED,
    FILES,
    STAGED,
    STATE,
    SWEEP_HASH,
    MirrorTable,
    columns_hash,
)
from flowbench.tracking.mirror.unwritten import Seen, state
from flowbench.tracking.rows import frame_of
from flowbench.tracking.source import Source
from flowbench.tracking.store import SQLITE

FORMAT = f"1-{columns_hash()}"
"""Of all that a mirror keeps: another one is made where this differs."""


class Mirror:
    """A record's runs, curves and files, kept under the home directory.

    Args:
        tracking_uri: the record's address.
    """

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri = tracking_uri
        self.path = home() / "mirror" / f"{_name(tracking_uri)}.v{FORMAT}"
        self._runs = self.path / "runs.parquet"
        self._seen = Seen(self.path / "seen")
        self._curves = Curves(tracking_uri, self.path / "curves.db")
        self._artifacts = Artifacts(tracking_uri, self.path / "files")

    def synchronise(self, progress: Progress | None = None) -> None:
        """Read what the record has and the mirror has not.

        Another process that does so is waited for. What was cut off goes on from where it was.

        Args:
            progress: called with the number of runs that are here and of all, where there are
                many to read.

        Raises:
            InputError: if the record cannot be read.
        """
        database = state(self.tracking_uri)
        if self._seen.holds(database, self.version):
            return
        source = Source.of(self.tracking_uri)
        if source is None:
            self._runs.unlink(missing_ok=True)
            return
        with self._alone():
            known = self._table()
            experiment = f"{source.experiment} of {source.created}"
            if known is None or known.experiment != experiment:
                known = MirrorTable.empty(experiment)
            now = CatchingUp(source, known, lambda table: table.save(self._runs), progress).run()
            if now is not known:
                now.save(self._runs)
                gone = set(known.ids(ENDED)).difference(now.ids(ENDED))
                self._curves.forget(gone)
                self._artifacts.forget(gone)
            self._seen.note(database, self.version)

    @property
    def version(self) -> str:
        """Differs from an earlier one if the runs do; costs nothing."""
        try:
            there = self._runs.stat()
        except FileNotFoundError:
            return ""
        return f"{there.st_ino}-{there.st_mtime_ns}"

    def runs(self, sweep: str | None = None) -> pd.DataFrame:
        """Return what `tracking.reader.read_runs` returned at the last synchronisation.

        Args:
            sweep: a sweep's name; None for all runs.
        """
        table = self._all()
        wanted = pc.and_(table[STAGED], pc.not_equal(table["stage"], schema.SWEEP_STAGE))
        if sweep is not None:
            wanted = pc.and_(wanted, pc.equal(table["sweep"], sweep))
        return frame_of(table.filter(wanted).drop_columns([STATE, STAGED, SWEEP_HASH, FILES]))

    def sweeps(self) -> pd.DataFrame:
        """Return what `tracking.reader.read_sweeps` returned at the last synchronisation."""
        table = self._all()
        parents = table.filter(pc.equal(table["stage"], schema.SWEEP_STAGE))
        frame: pd.DataFrame = (
            parents.select(["sweep", "mlflow_id", "started", SWEEP_HASH])
            .rename_columns(["sweep", "mlflow_id", "started", "sweep_hash"])
            .to_pandas()
        )
        return frame.sort_values("started", ignore_index=True)

    def history(self, mlflow_id: str, metrics: Sequence[str]) -> pd.DataFrame:
        """Return what `tracking.reader.read_history` does; a run that ended is read once."""
        return self.histories([mlflow_id], metrics).drop(columns="mlflow_id")

    def histories(self, mlflow_ids: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
        """Return learning curves of many runs: columns `mlflow_id metric step value`.

        Raises:
            InputError: if the record cannot be read.
        """
        kept = self._kept()
        ended = {run for run in mlflow_ids if run in kept and kept[run][0] == ENDED}
        return self._curves.read(mlflow_ids, metrics, ended)

    def artifact(self, mlflow_id: str, name: str) -> Path | None:
        """Return a local path of a run's artifact; None where it has none of this name.

        Raises:
            InputError: if the record cannot be read.
        """
        state, place = self._kept().get(mlflow_id, ("", ""))
        return self._artifacts.get(mlflow_id, place, name, ended=state == ENDED)

    def _kept(self) -> dict[str, tuple[str, str]]:
        table = self._table()
        return {} if table is None else table.kept

    def _all(self) -> pa.Table:
        return (self._table() or MirrorTable.empty("")).runs

    def _table(self) -> MirrorTable | None:
        return _loaded(self._runs, self.version)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until nobody else brings the mirror up to date; clean up what was left."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            for left in self.path.glob(f".{self._runs.name}.*"):
                left.unlink()
            for other in self.path.parent.glob(f"{_name(self.tracking_uri)}.v*"):
                if other != self.path:
                    shutil.rmtree(other, ignore_errors=True)
            yield


@lru_cache(maxsize=4)
def _loaded(path: Path, version: str) -> MirrorTable | None:
    """Read the runs: once, as long as nobody replaces them."""
    return MirrorTable.load(path) if version else None


def _name(tracking_uri: str) -> str:
    """Return a directory's name for a record: readable, of its own, and without a password."""
    parts = urlsplit(tracking_uri)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    if tracking_uri.startswith(SQLITE):
        address = str(Path(tracking_uri.removeprefix(SQLITE)).absolute())
    words = re.sub(r"[^A-Za-z0-9]+", "-", parts.netloc.rpartition("@")[2] or Path(parts.path).stem)
    return f"{words.strip('-')}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"
