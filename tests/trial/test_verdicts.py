"""Trials that wait for their driver's word."""

import threading
import time
from itertools import pairwise

import pytest
from small_runs import new_attempt, small_spec, validations

from flowbench.run_directory import Terms
from flowbench.trial.leader import lead


@pytest.fixture
def answering(monkeypatch):
    """Answer an attempt's validations, so many of them, in a thread."""
    stop = threading.Event()
    threads = []

    def start(attempt, answers):
        def work():
            while not stop.is_set():
                for event in validations(attempt)[:answers]:
                    if event["step"] > attempt.judged:
                        attempt.tell_judged(event["step"])
                time.sleep(0.01)

        threads.append(threading.Thread(target=work))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("answers", [0, 3])
def test_a_driver_that_is_gone_is_waited_for_once(answers, answering, table, runs_home):
    run, attempt = new_attempt("run", small_spec(table, max_epochs=30))
    attempt.write_terms(Terms(verdict_seconds=2.0))
    answering(attempt, answers)
    assert lead(run, attempt) == 0
    events = validations(attempt)
    assert len(events) == 30
    waits = [b["time"] - a["time"] >= 2.0 for a, b in pairwise(events)]
    assert waits.count(True) == 1
    assert waits.index(True) == answers


def test_without_a_judge_nothing_is_waited_for(table, runs_home):
    run, attempt = new_attempt("run", small_spec(table, max_epochs=5))
    attempt.write_terms(Terms())
    assert lead(run, attempt) == 0
    assert len(validations(attempt)) == 5
    assert attempt.judged == -1


def test_a_wish_to_stop_needs_no_judge(table, runs_home):
    run, attempt = new_attempt("run", small_spec(table, max_epochs=5))
    attempt.request_prune()
    assert lead(run, attempt) == 0
    assert attempt.result().outcome == "pruned"
    assert len(validations(attempt)) == 1
