"""Trials of two ranks, through the program that a driver starts."""

import signal
import socket
import time
from pathlib import Path

import psutil
import pytest
from small_runs import REALNVP, ROULETTE, new_attempt, small_spec, start_trial, validations
from torch.distributed import TCPStore

from flowbench.spec.vocabulary import PEAK_MEMORY
from flowbench.trial.leader import lead
from flowbench.trial.meeting import AloneMeeting

DIGITS = {"name": "digits", "train_size": 120}
"""Integers, dequantised by row: a batch of 75 is shared out as 38 and 37."""

TESTS = str(Path(__file__).parents[1])
LOSSES = {"train/bits_per_dim", "val/bits_per_dim", "val/nats"}


@pytest.mark.parametrize(
    ("data", "family", "precision", "tolerance", "reversible"),
    [
        (DIGITS, REALNVP, "64", 1e-10, False),
        (DIGITS, REALNVP, "64", 1e-10, True),
        (DIGITS, REALNVP, "32", 1e-5, False),
        (None, ROULETTE, "64", 1e-10, False),
    ],
    ids=["realnvp-64", "realnvp-64-reversible", "realnvp-32", "residual-64"],
)
def test_two_ranks_have_the_losses_of_one_process(
    data, family, precision, tolerance, reversible, table, runs_home
):
    # One batch an epoch, so that every step's loss is written down. The warm-up is the default:
    # actnorm begins where its gradient is zero but for rounding, which Adam scales to a full step.
    settings = {"batch_size": 75, "max_epochs": 50, "warmup_steps": 100}
    settings |= {"precision": precision, "ema_decay": 0.9}
    ranks = {"devices": 2, "reversible": reversible}
    two = new_attempt("two", small_spec(data or table, family, **ranks, **settings))
    process = start_trial(*two)
    one = new_attempt("one", small_spec(data or table, family, **settings))
    assert lead(*one) == 0
    assert process.wait(timeout=120) == 0, two[1].log.read_text()
    losses = [validations(attempt) for _, attempt in (one, two)]
    assert [event["step"] for event in losses[0]] == list(range(1, 51))
    for alone, shared in zip(*losses, strict=True):
        assert alone["step"] == shared["step"]
        for terms in ("train", "metrics"):
            for name in alone[terms] if precision == "64" else LOSSES & set(shared[terms]):
                assert shared[terms][name] == pytest.approx(alone[terms][name], rel=tolerance)
    # And the model learnt something meanwhile.
    assert losses[0][-1]["train"] != pytest.approx(losses[0][0]["train"], rel=1e-3)
    results = [attempt.result() for _, attempt in (one, two)]
    alone, shared = (
        {name: value for name, value in result.metrics.items() if name != PEAK_MEMORY}
        for result in results
    )
    assert shared == pytest.approx(alone, rel=1e-3, abs=1e-3)
    assert (results[1].steps, results[1].outcome) == (50, "completed")


def test_the_rank_that_failed_first_says_why(table, runs_home):
    family = {"name": "small_flows:Fragile", "fails": "once", "after": 6}
    run, attempt = new_attempt("run", small_spec(table, family, devices=2))
    process = start_trial(run, attempt, PYTHONPATH=TESTS)
    assert process.wait(timeout=120) == 1
    result = attempt.result()
    assert (result.outcome, result.reason) == ("code_error", "RuntimeError: rank 1 fell over")


def test_the_port_where_ranks_meet_is_held_from_its_choice_on():
    meeting = AloneMeeting("run")
    place = meeting.next_rendezvous().bootstrap_store_info
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("", place.master_port))
    store = TCPStore(place.master_addr, place.master_port, is_master=False)
    store.set("key", "value")
    assert store.get("key") == b"value"


def test_nodes_whose_port_was_taken_are_lost_so_that_a_new_attempt_finds_another(table, runs_home):
    run, attempt = new_attempt("run", small_spec(table, devices=2))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = ("--nodes", "2", "--node-rank", "0", "--rendezvous", place)
        process = start_trial(run, attempt, *arguments)
        assert process.wait(timeout=240) == 128 + signal.SIGKILL
    assert "EADDRINUSE" in attempt.log.read_text()
    assert attempt.result() is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_leader_leaves_no_rank_behind(number, table, runs_home):
    family = {"name": "small_flows:Fragile", "fails": "sleep"}
    run, attempt = new_attempt("run", small_spec(table, family, devices=2, max_epochs=10**6))
    process = start_trial(run, attempt, PYTHONPATH=TESTS)
    _wait_for(lambda: validations(attempt))
    ranks = psutil.Process(process.pid).children(recursive=True)
    assert len(ranks) >= 2
    process.send_signal(number)
    code = process.wait(timeout=30)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 128 + signal.SIGTERM)
    _, alive = psutil.wait_procs(ranks, timeout=10)
    assert [rank for rank in alive if rank.status() != psutil.STATUS_ZOMBIE] == []
    assert attempt.result() is None  # it was not the trial's own end: another attempt goes on


def _wait_for(true, seconds=150):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
