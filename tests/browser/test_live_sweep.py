"""A running sweep, watched in a real browser: a real driver, trials that wait for a word."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_record import empty_database
from watched import dashboard, until

pytestmark = pytest.mark.browser

TESTS = Path(__file__).parents[1]
SWEEP = {
    "name": "watched",
    "data": [{"name": "moons"}],
    "search": {"training.learning_rate": {"log": [1e-4, 1e-1]}},
    "families": {
        "nice": {"fixed": {"family.behave": "slow"}},
        "glow": {"fixed": {"family.behave": "diverge"}},
    },
    "budget": {"unit": "epochs", "per_trial": 3, "trials": 2},
    "confirm": {"seeds": 1},
    "resources": {"slots": 2},
}
"""Trials of `nice` wait after their first epoch until there is a file `go`."""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    home = tmp_path / "runs"
    home.mkdir()
    shutil.copy(empty_database(), home / "mlflow.db")
    monkeypatch.setenv("FLOWBENCH_HOME", str(home))
    file = tmp_path / "watched.json"
    file.write_text(json.dumps(SWEEP))
    process = subprocess.Popen(
        [sys.executable, TESTS / "sweep" / "drive.py", file],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield home, process
    process.terminate()
    process.wait()


def test_a_running_sweep_is_watched_to_its_end(driver, opened):
    home, process = driver
    with dashboard(f"sqlite:///{home / 'mlflow.db'}") as base:
        watched = opened(base)
        page = watched.open("/")
        page.locator("tr", has_text="watched").locator("td", has_text="running").wait_for()
        page.get_by_role("link", name="watched").click()
        page.wait_for_selector("h1:has-text('Live: watched')")
        page.wait_for_selector("h2:has-text('of 2 slots in use')")
        page.wait_for_selector("td:has-text('watched.nice.moons.0000')")
        # Its first validation is drawn while it runs, and the other family's failures are told.
        page.wait_for_selector("figure .scatterlayer path.point")
        page.wait_for_selector("td:has-text('the loss is NaN')")
        page.evaluate("window.notReloaded = true")
        (home / "go").touch()
        page.wait_for_selector("b:has-text('finished')", timeout=90_000)
        page.wait_for_selector("text=tune: 4 of 4 (2 completed, 2 diverged)")
        page.wait_for_selector("h2:has-text('0 of 2 slots in use')")
        assert process.wait(60) == 0
        until(page, "document.querySelectorAll('figure .scatterlayer path.point').length >= 9")
        assert page.evaluate("window.notReloaded")
        assert not watched.complaints
        assert not watched.strangers
