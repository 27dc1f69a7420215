"""Trials that are killed, hang, hoard or fail, in sweeps that lose nothing else by it."""

from collections import defaultdict

import pytest
from faults import kill_leader, kill_rank
from real_sweeps import FAMILIES, RealSweep, validations

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

MISBEHAVING = "misbehaving_flows:Misbehaving"
EPOCHS = 20
EXITED = "it ended with exit code 0 and no result: nothing was printed"
HUNG = "it hung: no sign of progress for 60 seconds"
KILLED = "lost {} times, at last: attempt {} was ended by signal 9"


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Return a function that prepares a grid whose trials fail as told."""
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))

    def prepare(sound, failing, **resources):
        rates = {"training.learning_rate": {"choice": [0.001 * 1.2**k for k in range(sound)]}}
        families = {name: family | {"search": rates} for name, family in FAMILIES.items()}
        choices = {key: {"choice": values} for key, values in failing.items()}
        return RealSweep(
            tmp_path / "runs",
            "faulty",
            families=families | {MISBEHAVING: {"search": choices}},
            search={},
            sampler="grid",
            budget={"unit": "epochs", "per_trial": EPOCHS},
            resources=resources,
        )

    return prepare


def judged(sweep):
    """Return the results of trials that misbehaved, by the way that they did."""
    found = defaultdict(list)
    for name, run in sweep.runs().items():
        if "Misbehaving" in name and "confirm" not in name:
            keys = run.spec().family.hyperparameters
            result = run.result()
            reason = result.reason.partition(", after step")[0]
            found[keys["fails"]].append((result.outcome, reason, len(run.attempts())))
    return found


def assert_resumed(attempts):
    """Assert that each run went on from its last checkpoint, and not from the beginning."""
    for lost in attempts:
        later = lost.path.with_name(f"attempt-{lost.number + 1}")
        first, then = validations(lost), validations(type(lost)(later))
        if then:
            assert then[0]["epoch"] > first[0]["epoch"]
        else:  # killed while it was measured: there was nothing left to train
            assert first[-1]["epoch"] == EPOCHS


def test_a_sweep_of_forty_trials_outlives_what_befalls_them(sweep):
    ways = ["never", "nan", "raise", "hang", "hoard", "leave", "exit", "killed"]
    rates = {"training.learning_rate": [0.001, 0.01]}
    forty = sweep(12, {"family.fails": ways, **rates}, slots=2, hang_seconds=60, memory_gib=2)
    forty.run()
    killed = []
    for finished in (4, 8, 16):
        forty.until_finished(finished)
        killed.append(kill_leader(forty))
    assert forty.end() == 0, forty.said()

    assert forty.orphans() == []
    assert forty.disagreements() == []
    assert forty.count() == {
        "completed": 12 + 12 + 2 + 3, "diverged": 2, "code_error": 6, "timed_out": 2,
        "out_of_memory": 2, "lost": 2,
    }  # fmt: skip
    results = judged(forty)
    assert results["never"] == [("completed", "", 1)] * 2
    assert results["nan"] == [("diverged", "the gradient is not finite at epoch 2, step 6", 1)] * 2
    assert results["raise"] == [("code_error", "ValueError: a user's mistake", 1)] * 2
    assert results["leave"] == results["exit"] == [("code_error", EXITED, 1)] * 2
    assert results["hang"] == [("timed_out", HUNG, 1)] * 2
    assert results["killed"] == [("lost", KILLED.format(3, 2), 3)] * 2
    for outcome, reason, attempts in results["hoard"]:
        assert (outcome, attempts) == ("out_of_memory", 1)
        assert "DefaultCPUAllocator: can't allocate memory" in reason
    assert_resumed(killed)


def test_a_sweep_of_two_rank_trials_outlives_the_loss_of_a_rank(sweep):
    ways = ["nan", "raise", "hang", "leave", "exit", "killed"]
    failing = {"family.fails": ways, "family.on_rank": [1]}
    twelve = sweep(3, failing, slots=2, devices_per_trial=2, hang_seconds=60, retries=1)
    twelve.run()
    killed = [kill_rank(twelve, 0)]
    twelve.until_finished(3)
    killed.append(kill_rank(twelve, 1))
    twelve.until_finished(6)
    killed.append(kill_leader(twelve))
    assert twelve.end() == 0, twelve.said()

    assert twelve.orphans() == []
    assert twelve.disagreements() == []
    assert judged(twelve) == {
        "nan": [("diverged", "the gradient is not finite at epoch 2, step 6", 1)],
        "raise": [("code_error", "ValueError: a user's mistake", 1)],
        "hang": [("timed_out", HUNG, 1)],
        "exit": [("code_error", "RuntimeError: a rank left by sys.exit before its end", 1)],
        "killed": [("lost", KILLED.format(2, 1), 2)],
        "leave": [("lost", KILLED.format(2, 1), 2)],  # all that is seen is a connection that broke
    }
    assert_resumed(killed)
