"""What a person sees while trials run: a live table in a terminal, dated lines in a log file."""

import math
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from flowbench.run_directory import TrialResult
from flowbench.sweep.work import Work

REFRESH_SECONDS = 0.5
SILENT_SECONDS = 300.0
"""After so long without a line, a log file gets one that says what runs."""


@dataclass
class _Shown:
    """A trial that runs, as it is shown."""

    name: str
    since: float
    stage: str = "starting"
    epoch: int | None = None
    bits: float = math.nan

    @property
    def words(self) -> str:
        """The trial and how far it is."""
        far = self.stage if self.epoch is None else f"{self.stage}, epoch {self.epoch}"
        return f"{self.name} ({far}{'' if math.isnan(self.bits) else f', {self.bits:.4f}'})"


class Progress:
    """Shows trials; use as a context manager."""

    def __init__(
        self,
        title: str,
        expected: int,
        console: Console | None = None,
        *,
        done: int = 0,
        quiet: bool = False,
    ) -> None:
        """Prepare.

        Args:
            title: what runs.
            expected: how many runs there will be.
            console: where to; standard output by default.
            done: how many of them ended before.
            quiet: show nothing.
        """
        self.title = title
        self.expected = expected
        self.console = console or Console(highlight=False, quiet=quiet)
        self.done = done
        self.ended_runs = done
        self._running: dict[str, _Shown] = {}
        self._live: Live | None = None
        self._seconds: list[float] = []
        self._drawn = 0.0
        self._began = self._spoke = time.monotonic()

    def __enter__(self) -> "Progress":
        if self.console.is_terminal and not self.console.quiet:
            # No thread of its own: a driver that starts processes has none.
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def started(self, work: Work, attempt: int) -> None:
        """Show a trial that was started."""
        again = f" (attempt {attempt})" if attempt else ""
        self._running[work.run.id] = _Shown(f"{work.run.id}{again}", time.monotonic())
        self.tick()

    def event(self, work: Work, event: dict[str, Any]) -> None:
        """Show how far a trial is."""
        shown = self._running.get(work.run.id)
        if shown is None:
            return
        if event["kind"] == "stage":
            shown.stage = event["stage"]
        if "epoch" in event:
            shown.epoch = event["epoch"]
        if event["kind"] == "validation":
            shown.bits = event["metrics"].get("val/bits_per_dim", math.nan)

    def ended(self, work: Work, result: TrialResult) -> None:
        """Write a line for a trial that ended."""
        self._running.pop(work.run.id, None)
        self.ended_runs += 1
        bits = [
            f"{name} {value:.4f}"
            for name, value in result.metrics.items()
            if name in ("val/bits_per_dim", "test/bits_per_dim")
        ]
        words = [f"[{self.ended_runs}/{self.expected}]", work.run.id, result.outcome, *bits]
        if result.seconds:
            self._seconds.append(result.seconds)
            words.append(f"{result.seconds:.0f} s")
        self.note(" ".join(words) + (f": {result.reason}" if result.reason else ""))

    def note(self, sentence: str) -> None:
        """Write a line that stays."""
        self._spoke = time.monotonic()
        if self._live is not None:
            self._live.console.print(escape(sentence), soft_wrap=True)
        else:
            self.console.print(escape(f"{datetime.now():%H:%M:%S} {sentence}"), soft_wrap=True)

    def tick(self) -> None:
        """Draw the table anew, twice a second at most; in a log file, break a long silence."""
        now = time.monotonic()
        if self._live is None:
            if self._running and now - self._spoke > SILENT_SECONDS:
                shown = "; ".join(shown.words for shown in self._running.values())
                self.note(f"{self._head(now)}: {shown}")
        elif now - self._drawn > REFRESH_SECONDS:
            self._drawn = now
            self._live.update(self._table(now), refresh=True)

    def _head(self, now: float) -> str:
        """Say how far the whole is, and when it should end if runs go on ending as they did."""
        words = f"{self.title}: {self.ended_runs} of {self.expected} runs"
        here = float(self.ended_runs - self.done)
        left = float(self.expected - self.ended_runs)
        if here > 0 and left > 0:
            # Those that run are partly done, as far as earlier ones can tell.
            if self._seconds:
                each = sum(self._seconds) / len(self._seconds)
                begun = sum(min((now - r.since) / each, 1.0) for r in self._running.values())
                here, left = here + begun, left - begun
            end = datetime.now() + timedelta(seconds=left * (now - self._began) / here)
            words += f", expected to end about {end:%d %b %H:%M}"
        return words

    def _table(self, now: float) -> Group:
        minutes, seconds = divmod(int(now - self._began), 60)
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in ("running", "stage", "epoch", "val bits/dim", "since"):
            table.add_column(column, style="dim" if column == "since" else "")
        for shown in self._running.values():
            table.add_row(
                escape(shown.name),
                shown.stage,
                "" if shown.epoch is None else str(shown.epoch),
                "" if math.isnan(shown.bits) else f"{shown.bits:.4f}",
                f"{now - shown.since:.0f} s",
            )
        return Group(escape(f"{self._head(now)}, {minutes}:{seconds:02d}"), table)
