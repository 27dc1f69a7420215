"""The program `flowbench`: its commands, and how each ends."""

import errno
import os
import sys

import typer

from flowbench.cli import dashboard, data, models, pages, results, runs, runs_admin, sweeps
from flowbench.errors import InputError, RunFailed
from flowbench.run_directory import NO_ROOM

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

REFUSED_BY_THE_SYSTEM = (*NO_ROOM, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
"""No room, or no right to write: no fault of the code."""

app = typer.Typer(
    help="Compare normalizing-flow families on your data.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(models.families)
app.command()(runs.train)
app.command()(runs.evaluate)
app.command()(runs.sample)
app.command()(runs.score)
app.command()(models.check)
app.command(name="data")(data.describe)
app.add_typer(sweeps.app, name="sweep")
app.add_typer(runs_admin.app, name="runs")
app.command()(results.compare)
app.command()(results.report)
app.command()(dashboard.dashboard)
app.command()(pages.mlflow)
app.command()(pages.optuna)


def main() -> None:
    """Run a command; a user's mistake ends in one sentence on stderr, never in a traceback.

    Exit codes: 0 done; 1 a run, check or verification failed; 2 bad input; 130 and 143 stopped.
    """
    # The record's own reporting home has no place in an offline tool.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        code = app(standalone_mode=False)
    except InputError as error:
        code = _say(str(error), BAD_INPUT)
    except RunFailed as error:
        code = _say(str(error), FAILED)
    except KeyboardInterrupt:
        code = _say("stopped", INTERRUPTED)
    except OSError as error:
        if error.errno not in REFUSED_BY_THE_SYSTEM:
            raise
        code = _say(f"{error.filename or 'writing failed'}: {error.strerror}", BAD_INPUT)
    except typer.Exit as stop:
        code = stop.exit_code
    except typer.Abort:
        code = _say("stopped", INTERRUPTED)
    except Exception as error:
        # Click's own complaints (an unknown option, a missing argument) carry how to show them.
        if not hasattr(error, "show") or not hasattr(error, "exit_code"):
            raise
        code = _say(error.format_message(), BAD_INPUT)  # type: ignore[attr-defined]
    sys.exit(code or DONE)


def _say(sentence: str, code: int) -> int:
    print(f"flowbench: {sentence}", file=sys.stderr)
    return code
