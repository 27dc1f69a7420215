"""What Slurm's controller knows of the user's jobs, asked without waiting for the answer."""

import logging
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass

from flowbench.errors import InputError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Between two questions to the controller, whatever the number of jobs."""
COLUMNS = "JobID:|,State:|,exit_code:|,Comment:|"
"""What is asked of each job, with what ends each column."""
WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"})
ENDED = frozenset({
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "REVOKED", "TIMEOUT",
})  # fmt: skip


@dataclass(frozen=True)
class JobState:
    """What the controller knows of a job."""

    state: str
    status: int = 0
    """Of its script, as `wait` returns it."""
    comment: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def exit_code(self) -> int:
        """The script's exit code; SIGKILL's number, negative, where the cluster ended it."""
        if self.state == "COMPLETED":
            return 0
        # A script that never began failed with status 0.
        failed = self.state == "FAILED" and self.status != 0
        return os.waitstatus_to_exitcode(self.status) if failed else -signal.SIGKILL


GONE = JobState("REVOKED")
"""A job that the controller has forgotten, some minutes after its end."""


class Queue:
    """The user's jobs as the controller knows them, asked for now and then, all at once.

    The driver does not wait for the answer: a controller that restarts takes half a minute.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, JobState] = {}
        self._question: Question | None = None
        self._ask_at = 0.0
        self.asked = 0
        """How many questions there were."""
        self.answered = 0
        """Which of them was the last to be answered."""
        self.answers = True
        """Whether the last one was."""

    def jobs(self) -> Mapping[str, JobState]:
        """Return what is known of each job; the controller may be away for a while."""
        now = time.monotonic()
        if self._question is None and now >= self._ask_at:
            self._question = self._ask()
        if self._question is not None and self._question.settled:
            self._read(self._question)
            self._question, self._ask_at = None, now + LOOK_SECONDS
        return self._jobs

    def look(self) -> Mapping[str, JobState]:
        """Ask the controller now, and wait for its answer.

        Raises:
            InputError: if it does not give one.
        """
        self._question = None  # its answer would be older
        question = self._ask()
        question.wait()
        self._read(question)
        if not self.answers:
            raise InputError(f"resources.engine = 'slurm': Slurm does not answer: {question.says}")
        return self._jobs

    def _ask(self) -> "Question":
        self.asked += 1
        return Question(self.asked)

    def _read(self, question: "Question") -> None:
        answered, self.answers = self.answers, question.answered
        if self.answers:
            self._jobs = question.jobs()
            self.answered = question.number
        elif answered:
            logger.warning("Slurm does not answer, and is waited for: %s", question.says)


class Question:
    """A question to the controller: how are the user's jobs?

    Args:
        number: which one it is.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as this
        self._process = subprocess.Popen(  # noqa: S603
            ["squeue", "--me", "--states=all", "--noheader", f"--Format={COLUMNS}"],  # noqa: S607
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    @property
    def settled(self) -> bool:
        """Whether it was answered, or will not be."""
        return self._process.poll() is not None

    @property
    def answered(self) -> bool:
        return self._process.poll() == 0

    def wait(self) -> None:
        """Wait until it is settled; `squeue` has a limit of its own."""
        self._process.wait()

    @property
    def says(self) -> str:
        """The last thing that was printed."""
        return last_line(self._text())

    def jobs(self) -> dict[str, JobState]:
        """Return the answer, by the numbers of the jobs."""
        rows = (line.split("|") for line in self._text().splitlines() if line.count("|") >= 4)
        return {
            number.strip(): JobState(state.strip(), int(status), comment.strip())
            for number, state, status, comment, *_ in rows
        }

    def _text(self) -> str:
        self._output.seek(0)
        return self._output.read()


def last_line(text: str) -> str:
    """Return the last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
