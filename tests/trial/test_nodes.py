"""Trials spread over nodes: leaders that meet at a port, as engines start them on two machines."""

import signal
import socket
import time
from pathlib import Path

import pytest
from small_runs import REALNVP, new_attempt, small_spec, start_trial, validations

from flowbench.trial.leader import lead

TESTS = str(Path(__file__).parents[1])


def start_nodes(run, attempt, **environment):
    """Start the leaders of two nodes, which share this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        meeting = f"127.0.0.1:{probe.getsockname()[1]}"
    size = ("--nodes", "2", "--rendezvous", meeting)
    return [
        start_trial(run, attempt, *size, "--node-rank", str(rank), **environment)
        for rank in range(2)
    ]


def ends(leaders):
    return [leader.wait(timeout=120) for leader in leaders]


def test_ranks_on_two_nodes_have_the_losses_of_one_process(table, runs_home):
    settings = {"batch_size": 75, "max_epochs": 20, "warmup_steps": 100, "precision": "64"}
    two = new_attempt("two", small_spec(table, REALNVP, devices=2, **settings))
    leaders = start_nodes(*two)
    one = new_attempt("one", small_spec(table, REALNVP, **settings))
    assert lead(*one) == 0
    assert ends(leaders) == [0, 0], two[1].log.read_text()
    alone, shared = (
        [(event["step"], event["metrics"]["val/nats"]) for event in validations(attempt)]
        for _, attempt in (one, two)
    )
    assert len(alone) == 20
    assert [step for step, _ in shared] == [step for step, _ in alone]
    assert [loss for _, loss in shared] == pytest.approx([loss for _, loss in alone], rel=1e-10)
    assert two[1].result().outcome == "completed"


def test_the_first_node_tells_why_the_ranks_of_another_failed(table, runs_home):
    family = {"name": "small_flows:Fragile", "fails": "once", "after": 6}
    run, attempt = new_attempt("run", small_spec(table, family, devices=2))
    assert ends(start_nodes(run, attempt, PYTHONPATH=TESTS)) == [1, 0]
    result = attempt.result()
    assert (result.outcome, result.reason) == ("code_error", "RuntimeError: rank 1 fell over")


def test_a_lost_node_is_no_end_of_the_trial(table, runs_home):
    family = {"name": "small_flows:Fragile", "fails": "sleep"}
    run, attempt = new_attempt("run", small_spec(table, family, devices=2, max_epochs=10**6))
    first, second = start_nodes(run, attempt, PYTHONPATH=TESTS)
    deadline = time.monotonic() + 60
    while not validations(attempt):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second.kill()
    assert ends([first, second]) == [128 + signal.SIGKILL, -signal.SIGKILL]
    assert attempt.result() is None
