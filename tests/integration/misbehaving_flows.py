"""Users' flows that do to their process what a sweep must live with."""

import os
import signal
import sys
import time

import torch
from small_flows import Fragile


class Misbehaving(Fragile):
    """A `Fragile` flow that may also take its process along.

    `fails`: as in `Fragile`, or hang, hoard (allocate until nothing is left), leave (exit code 0
    at once), exit (the same by SystemExit), killed (by signal 9, each time).

    `on_rank`: the rank that fails; each by default.
    """

    def __init__(
        self, event_shape, fails: str = "never", after: int = 5, on_rank: int | None = None
    ):
        super().__init__(event_shape, fails, after)
        self.on_rank = on_rank

    def log_prob(self, x):
        if self.training and self.on_rank not in (None, int(os.environ.get("RANK", "0"))):
            return self.base.log_prob(x)
        if self.training and self.steps >= self.after:
            match self.fails:
                case "hang":
                    time.sleep(3600)
                case "hoard":
                    held = []
                    while True:
                        held.append(torch.empty(2**25))  # addresses alone: it is never written to
                case "leave":
                    os._exit(0)
                case "exit":
                    sys.exit(0)
                case "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
        return super().log_prob(x)
