"""A finished run of the same specification is taken over, not trained again."""

import os
import shutil
from pathlib import Path

from flowbench.errors import InputError
from flowbench.run_directory import RunDirectory
from flowbench.spec.run import RunSpec
from flowbench.tracking.provenance import Provenance


class FinishedRuns:
    """The completed runs under a home directory, by the hash of their specification."""

    def __init__(self, home: Path) -> None:
        self._by_hash: dict[str, RunDirectory] = {}
        for path in sorted(home.glob("*/spec.json")):
            run = RunDirectory(path.parent)
            try:
                self.add(run, run.spec())
            except (InputError, ValueError):
                continue  # a run of another version: it cannot be the same

    def add(self, run: RunDirectory, spec: RunSpec) -> None:
        """Note a run if it completed; failures are never taken over."""
        result = run.result()
        if result is not None and result.outcome == "completed":
            self._by_hash.setdefault(spec.hash, run)

    def take_over(self, run: RunDirectory, spec: RunSpec, provenance: Provenance) -> bool:
        """Give `run` the finished attempt of the same specification, if there is one.

        Files are linked, not copied, where the file system can; the result comes last, since it is
        what makes a run finished.
        """
        twin = self._by_hash.get(spec.hash)
        if twin is None or twin.id == run.id or run.attempts():
            return False
        source = twin.attempts()[-1]
        target = run.attempt(0)
        provenance.model_copy(update={"reuses": twin.id}).write(run)
        run.write_spec(spec)  # what makes it a run
        target.create()
        files = [path for path in source.path.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path.name == "result.json"):
            place = target.path / path.relative_to(source.path)
            place.parent.mkdir(exist_ok=True)
            try:
                os.link(path, place)
            except OSError:
                shutil.copy2(path, place)
        return True
