"""The page on users' own flows does what it says: its files and commands, as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("your own flow")  # its commands run once

PAGE = Path(__file__).parents[2] / "docs" / "your-own-flow.md"
BLOCK = re.compile(r"^```(python|yaml|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each command of the page printed, in order, and where they ran."""
    there = tmp_path_factory.mktemp("page")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FLOWBENCH_HOME": str(there / "runs"),
        "COLUMNS": "150",
    }
    outputs = {}
    for kind, text in BLOCK.findall(PAGE.read_text()):
        if kind != "sh":
            name = re.match(r"# (\S+)\n", text).group(1)
            assert f"`{name}`" in PAGE.read_text()
            (there / name).write_text(text)
            continue
        for command in text.strip().splitlines():
            done = subprocess.run(
                command,
                shell=True,
                cwd=there,
                env=environment,
                capture_output=True,
                text=True,
                timeout=400,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            outputs[command] = done.stdout
    return outputs, there


def output(said, start):
    (found,) = [text for command, text in said[0].items() if command.startswith(start)]
    return found


def test_the_flow_of_the_page_passes_its_check(said):
    checked = output(said, "flowbench check")
    assert "my_flow:MyFlow on vectors" in checked
    assert "failed" not in checked
    for check in ("data round trip", "encode log-det", "integral"):
        assert re.search(rf"{check}.*passed", checked)


def test_its_run_prints_the_three_measures(said):
    printed = output(said, "flowbench train family.name=my_flow:MyFlow")
    for measure in ("bits/dim", "inversion error", "samples/s"):
        assert measure in printed


def test_it_stands_in_the_leaderboard_and_the_report(said):
    board = output(said, "flowbench compare")
    page = (said[1] / "report" / "index.html").read_text()
    for family in ("my_flow:MyFlow", "realnvp", "SplineCoupling"):
        assert family in board
        assert family in page


def test_the_librarys_flows_of_the_page_can_be_built_and_scored(said, monkeypatch):
    import torch

    from flowbench.families.registry import create

    monkeypatch.syspath_prepend(said[1])
    for name in ("spline", "autoregressive", "realnvp"):
        flow = create(f"library_flows:{name}", (3,)).eval()
        x = flow.sample(5)
        z, _ = flow.encode(x)
        assert torch.isfinite(flow.log_prob(x)).all()
        torch.testing.assert_close(flow.decode(z)[0], x, rtol=1e-4, atol=1e-4)
