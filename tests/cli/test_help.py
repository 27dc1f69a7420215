import subprocess
import sys

import pytest

HEAVY = ("torch", "pytorch_lightning", "mlflow", "optuna", "plotly", "matplotlib", "pandas")


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["sweep", "run", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from flowbench.cli import main\n"
        f"sys.argv = ['flowbench', *{arguments!r}]\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout
    assert "LOADED []" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--frobnicate"], "--frobnicate"),
        (["train"], "CONFIG"),
        (["no-such-command"], "no-such-command"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_code_2(
    arguments: list[str], said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flowbench.cli", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
