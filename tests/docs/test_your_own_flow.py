"""The page on users' own flows does what it says: its files and commands, as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import torch

from flowbench.families.registry import create

PAGE = Path(__file__).parents[2] / "docs" / "your-own-flow.md"
BLOCK = re.compile(r"^```(python|yaml|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def follow(page, there):
    """Save the page's files and run its commands; return what each of those printed."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FLOWBENCH_HOME": str(there / "runs"),
        "COLUMNS": "150",
    }
    printed = {}
    for kind, text in BLOCK.findall(page):
        if kind != "sh":
            name = re.match(r"# (\S+)\n", text).group(1)
            assert f"`{name}`" in page
            (there / name).write_text(text)
            continue
        for command in text.strip().splitlines():
            done = subprocess.run(
                command, shell=True, cwd=there, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            printed[command] = done.stdout
    return printed


def test_the_page_leads_from_a_module_to_a_row(tmp_path, monkeypatch):
    printed = follow(PAGE.read_text(), tmp_path)
    checked, trained, _, board, _ = printed.values()

    assert "my_flow:MyFlow on vectors" in checked
    assert "failed" not in checked
    for check in ("data round trip", "encode log-det", "integral"):
        assert re.search(rf"{check}.*passed", checked)

    for measure in ("bits/dim", "inversion error", "samples/s"):
        assert measure in trained

    report = (tmp_path / "report" / "index.html").read_text()
    for family in ("my_flow:MyFlow", "realnvp", "SplineCoupling"):
        assert family in board
        assert family in report

    monkeypatch.syspath_prepend(tmp_path)
    for name in ("spline", "autoregressive", "realnvp"):
        flow = create(f"library_flows:{name}", (3,)).eval()
        x = flow.sample(5)
        assert torch.isfinite(flow.log_prob(x)).all()
        torch.testing.assert_close(flow.decode(flow.encode(x)[0])[0], x, rtol=1e-4, atol=1e-4)
