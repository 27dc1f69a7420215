"""How a trial ended: a result to write, and the exit code of its process."""

import errno
import os
import traceback
from collections.abc import Iterator

import torch
from pydantic import BaseModel, ConfigDict

from flowbench.errors import InputError
from flowbench.run_directory import DISK_FULL, NO_ROOM, TrialResult
from flowbench.spec.vocabulary import Outcome

DONE, FAILED, BAD_INPUT = 0, 1, 2
PEER_LOST = 69
"""Exit code of a rank whose connection to another broke: the cause is the other's."""

CPU_ALLOCATOR = ("DefaultCPUAllocator", "not enough memory", "bad_alloc")
"""What the RuntimeError says that torch raises where the CPU's memory is exhausted."""

CONNECTION_BROKEN = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Connection was likely closed",
    "Broken pipe",
    "remote process exited",
)
"""What errors of torch.distributed say, by gloo, NCCL and its store."""


class Ending(BaseModel):
    """A result, None where nothing could be written or the trial is to be run again."""

    model_config = ConfigDict(frozen=True)

    result: TrialResult | None
    exit_code: int = DONE


def ending_of(error: Exception) -> Ending:
    """Judge an exception that ended a trial; print its traceback where the code is at fault."""
    if is_disk_full(error):
        return Ending(result=None, exit_code=DISK_FULL)
    if isinstance(error, InputError):
        return _failed("code_error", str(error), BAD_INPUT)
    reason = f"{type(error).__name__}: {_first_line(error)}"
    if is_out_of_memory(error):
        return _failed("out_of_memory", reason)
    traceback.print_exception(error)
    if is_connection_broken(error):
        return Ending(result=None, exit_code=PEER_LOST)
    return _failed("code_error", reason, FAILED)


def is_out_of_memory(error: Exception) -> bool:
    """Say whether memory was exhausted, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in CPU_ALLOCATOR)


def is_disk_full(error: Exception) -> bool:
    """Say whether an error, or what caused it, is a full disk."""
    return any(isinstance(cause, OSError) and cause.errno in NO_ROOM for cause in _causes(error))


def is_connection_broken(error: Exception) -> bool:
    """Say whether a rank lost its connection to another."""
    if not isinstance(error, RuntimeError) or "RANK" not in os.environ:
        return False
    return any(sign in str(error) for sign in CONNECTION_BROKEN)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _failed(outcome: Outcome, reason: str, exit_code: int = DONE) -> Ending:
    return Ending(result=TrialResult(outcome=outcome, reason=reason), exit_code=exit_code)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no message")
