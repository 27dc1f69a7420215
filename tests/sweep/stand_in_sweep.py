"""Sweeps of stand-in trials, each in a home directory of its own."""

import contextlib
import shutil
from pathlib import Path

import optuna
import pytest
from synthetic_record import empty_database

from flowbench.run_directory import RunDirectory
from flowbench.spec.sweep import SweepSpec
from flowbench.sweep import run_sweep
from flowbench.sweep.launchers.forkserver import TrialProgram
from flowbench.sweep.launchers.local import LocalLauncher

STAND_IN = TrialProgram((str(Path(__file__).with_name("stand_in_trial.py")),))


def stand_ins(slots):
    """Where stand-in trials run: in interpreters of their own, which are quick without torch."""
    return LocalLauncher(slots, program=STAND_IN, fresh_interpreters=True)


def tiny_sweep(name="tiny", **changes):
    values = {
        "name": name,
        "data": [{"name": "moons"}],
        "search": {"training.learning_rate": {"log": [1e-4, 1e-1]}},
        "families": {"nice": {"search": {"family.depth": {"int": [1, 4]}}}, "glow": {}},
        "budget": {"unit": "epochs", "per_trial": 3, "trials": 3},
        "confirm": {"seeds": 2},
        "resources": {"slots": 2},
    }
    return SweepSpec.model_validate(values | changes)


class Home:
    """A directory of runs of its own, and how to look into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        shutil.copy(empty_database(), path / "mlflow.db")

    def run(self, sweep, slots=2):
        launcher = stand_ins(slots)
        return run_sweep(sweep, launcher=launcher, defaults={}, quiet=True)

    def runs(self, name="tiny"):
        return {
            p.parent.name: RunDirectory(p.parent) for p in self.path.glob(f"{name}.*/spec.json")
        }

    def outcomes(self, name="tiny"):
        return {run_id: run.result().outcome for run_id, run in self.runs(name).items()}

    def started(self):
        """Every (run, attempt) whose process began, in order."""
        path = self.path / "started"
        lines = path.read_text().splitlines() if path.is_file() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    def trials(self, family, name="tiny", data="moons"):
        """The trials of a search, as Optuna keeps them."""
        storage = f"sqlite:///{self.path / 'optuna.db'}"
        return optuna.load_study(study_name=f"{name}/{family}/{data}", storage=storage).trials


@contextlib.contextmanager
def home_at(directory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWBENCH_HOME", str(directory / "runs"))
        yield Home(directory / "runs")
