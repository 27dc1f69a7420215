"""How a trial's processes end: with their parent, and when they are told to."""

import ctypes
import faulthandler
import os
import signal
from types import FrameType

PR_SET_PDEATHSIG = 1
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies (Linux).

    Args:
        parent: the process that started this one, in the thread that started it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # It may have died before the kernel was asked.
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def exit_on_signals() -> None:
    """End by SystemExit with 128 + n on SIGTERM, SIGINT and SIGHUP; at once on a second one.

    What was saved stays; nothing is saved on the way out.
    """
    _show_stacks_on_signal()
    told = False

    def leave(number: int, _frame: FrameType | None) -> None:
        nonlocal told
        if told:
            os._exit(128 + number)
        told = True
        raise SystemExit(128 + number)

    for number in STOPS:
        signal.signal(number, leave)


def end_on_signals() -> None:
    """End at once on the same signals, by the signal itself.

    For ranks: one that waits for the others does so inside torch, where no handler would run.
    """
    _show_stacks_on_signal()
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)


def _show_stacks_on_signal() -> None:
    """Have SIGUSR1 write where every thread is into the log, whatever it is doing."""
    faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)
