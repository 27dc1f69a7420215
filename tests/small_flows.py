"""Users' own flows, named as `small_flows:Fragile`: they do what is asked of them."""

import os
import signal
import sys
import time

import torch
from torch import nn
from torch.distributions import Independent, Normal

from flowbench.errors import NotInvertible


class Fragile(nn.Module):
    """A diagonal Gaussian that fails in a chosen way after a number of optimiser steps.

    `fails`: nan, explode, raise, memory, allocator, singular, blind (infinite in eval mode), sleep,
    hang, stubborn (heeds no SIGTERM), eat (memory, until there is none), leave (by sys.exit),
    killed, or once and killed_once (a RuntimeError and signal 9, on rank 1 alone).
    """

    steps: torch.Tensor

    def __init__(self, event_shape, fails: str = "never", after: int = 0):
        super().__init__()
        self.event_shape, self.fails, self.after = event_shape, fails, after
        self.mean = nn.Parameter(torch.zeros(event_shape))
        self.log_std = nn.Parameter(torch.zeros(event_shape))
        self.register_buffer("steps", torch.tensor(0))

    @property
    def base(self):
        return Independent(Normal(self.mean, self.log_std.exp()), len(self.event_shape))

    def after_step(self):
        self.steps += 1

    def log_prob(self, x):
        log_prob = self.base.log_prob(x)
        if not self.training:
            return log_prob - torch.inf if self.fails == "blind" else log_prob
        if self.steps < self.after:
            return log_prob
        match self.fails:
            case "nan":
                return log_prob * torch.nan
            case "explode":
                return log_prob - 1e6
            case "raise":
                raise ValueError("a user's mistake\nwith a second line")
            case "memory":
                raise torch.OutOfMemoryError("CUDA out of memory")
            case "allocator":
                torch.empty(1 << 60)  # the allocator's own refusal
            case "singular":
                raise NotInvertible("layer 3: its matrix is singular")
            case "sleep":
                time.sleep(0.2)
            case "hang":
                time.sleep(3600)
            case "stubborn":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(3600)
            case "eat":
                self.eaten = [torch.ones(1 << 24) for _ in range(1000)]
            case "leave":
                sys.exit()
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "killed_once" if torch.distributed.get_rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            case "once" if torch.distributed.get_rank() == 1:
                raise RuntimeError("rank 1 fell over")
        return log_prob

    def sample(self, n):
        return self.base.sample((n,))
