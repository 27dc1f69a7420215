import errno

import pytest
import torch

from flowbench.errors import InputError
from flowbench.run_directory import DISK_FULL
from flowbench.trial.ending import ending_of


def _allocator_refusal():
    try:
        torch.empty(1 << 60)
    except RuntimeError as error:
        return error
    raise AssertionError("an exabyte was given")


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), _allocator_refusal()],
    ids=lambda error: type(error).__name__,
)
def test_exhausted_memory_is_an_outcome_not_a_fault(error):
    ending = ending_of(error)
    assert (ending.result.outcome, ending.exit_code) == ("out_of_memory", 0)
    assert ending.result.reason.startswith(type(error).__name__)
    assert "\n" not in ending.result.reason


def test_a_users_mistake_is_its_sentence(capsys):
    ending = ending_of(InputError("data.path = 'x.csv': no such file"))
    assert ending.exit_code == 2
    assert ending.result.reason == "data.path = 'x.csv': no such file"
    assert capsys.readouterr().err == ""


def test_a_fault_of_the_code_is_told_in_a_line_and_traced_in_the_log(capsys):
    ending = ending_of(ValueError("a user's mistake\nwith a second line"))
    assert (ending.result.outcome, ending.exit_code) == ("code_error", 1)
    assert ending.result.reason == "ValueError: a user's mistake"
    assert "with a second line" in capsys.readouterr().err


def test_a_full_disk_leaves_no_result_even_as_a_cause():
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as cause:
            raise RuntimeError("writing failed") from cause
    except RuntimeError as error:
        ending = ending_of(error)
    assert (ending.result, ending.exit_code) == (None, DISK_FULL)
    assert ending_of(OSError(errno.ENOENT, "gone")).result.outcome == "code_error"
