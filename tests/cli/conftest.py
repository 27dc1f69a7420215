import contextlib
import io
import re
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

import flowbench
from flowbench.cli import main


@dataclass(frozen=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def flowbench_command(capsys, monkeypatch):
    """Run a command in this process; anything but an orderly end is an error of the test."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["flowbench", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return Said(stop.value.code or 0, printed.out, printed.err)

    return run


@pytest.fixture
def refused(flowbench_command):
    """Run a command that must end with exit code 2 and one sentence; return the sentence."""

    def run(*arguments):
        said = flowbench_command(*arguments)
        assert said.code == 2, said
        assert len(said.err.strip().splitlines()) == 1, said.err
        assert said.err.startswith("flowbench: ")
        assert "Traceback" not in said.err + said.out
        return said.err.strip()

    return run


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    """A folder with a table of a user's, `runs` beside it, and the environment to match."""
    folder = tmp_path_factory.mktemp("workplace")
    noise = np.random.default_rng(0)
    table = pd.DataFrame({"count": noise.integers(0, 9, 300), "size": noise.normal(size=300)})
    table["size"] += table["count"]
    table.to_csv(folder / "rows.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWBENCH_HOME", str(folder / "runs"))
        yield folder


@pytest.fixture(scope="session")
def configuration(workplace):
    """A run on the user's table, as a configuration file."""
    file = workplace / "small.yaml"
    file.write_text(
        "family: {name: realnvp, depth: 1, hidden: [8]}\n"
        f"data: {{path: {workplace / 'rows.csv'}, dequantise: [count]}}\n"
        "training: {max_epochs: 1, batch_size: 64}\n"
        "evaluation: {speed_batches: [1, 64]}\n"
    )
    return file


@pytest.fixture(scope="session")
def table_run(configuration):
    """What `flowbench train` said on that file, and the id of the run."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(sys, "argv", ["flowbench", "train", str(configuration)])
        with pytest.raises(SystemExit) as stop:
            main()
    run = re.search(r"realnvp-rows-[\d-]+", printed.getvalue())
    return Said(stop.value.code or 0, printed.getvalue(), ""), run.group()


@pytest.fixture(scope="session")
def image_run(workplace):
    """A run on digits, trained from Python."""
    return flowbench.train(
        {
            "family": {"name": "nice", "depth": 2, "hidden": [8]},
            "data": {"name": "digits"},
            "training": {"max_epochs": 1, "batch_size": 64},
            "evaluation": {"speed": False, "samples": 4},
        },
        quiet=True,
    )
