"""Files of runs: where they are, if that is this machine, else copies of them."""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from flowbench.tracking.facts import ARTIFACTS
from flowbench.tracking.reader import read_artifact
from flowbench.tracking.source import reading


class Artifacts:
    """A directory of copies.

    Args:
        tracking_uri: the record's address.
        path: the directory.
    """

    def __init__(self, tracking_uri: str, path: Path) -> None:
        self._uri = tracking_uri
        self._path = path

    def get(self, run: str, place: str, name: str, *, ended: bool) -> Path | None:
        """Return a local path of a file; None where the run has none of this name.

        Args:
            run: its name in MLflow.
            place: the address of its files; empty where it is unknown.
            name: of the file.
            ended: whether the run will not change: then its file is kept.
        """
        address = urlsplit(place)
        if address.scheme in ("", "file") and address.path:
            here = Path(unquote(address.path)) / name
            return here if here.is_file() else None
        if not ended:
            return self._read(run, name)
        copy = self._path / run / name
        none = copy.with_name(f"{name}.none")
        if copy.is_file():
            return copy
        if none.is_file():
            return None
        copy.parent.mkdir(parents=True, exist_ok=True)
        found = self._read(run, name)
        if found is not None:
            with tempfile.TemporaryDirectory(dir=copy.parent) as directory:
                whole = shutil.copy(found, directory)
                Path(whole).replace(copy)
            return copy
        if name in ARTIFACTS:  # other files may still be added
            none.touch()
        return None

    def forget(self, runs: Iterable[str]) -> None:
        """Drop the files of runs."""
        for run in runs:
            shutil.rmtree(self._path / run, ignore_errors=True)

    def _read(self, run: str, name: str) -> Path | None:
        with reading(self._uri):
            return read_artifact(self._uri, run, name)
