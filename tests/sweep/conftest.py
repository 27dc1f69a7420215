import sys
from pathlib import Path

import pytest

from flowbench.spec.sweep import SweepSpec
from flowbench.sweep.launcher import LocalLauncher

STAND_IN = (sys.executable, str(Path(__file__).with_name("stand_in_trial.py")))


@pytest.fixture
def runs_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


@pytest.fixture
def stand_in_launcher():
    def launcher(slots=2):
        return LocalLauncher(slots, program=STAND_IN)

    return launcher


@pytest.fixture
def sweep_of():
    def build(name="tiny", **changes):
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

    return build
