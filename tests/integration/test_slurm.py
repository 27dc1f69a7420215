"""Sweeps on a real Slurm: jobs are lost, drivers are killed, and nothing else is."""

import pytest
from on_clusters import check_end, goes_on_from, hit, leaders, survive_the_driver
from real_sweeps import FAMILIES, RealSweep
from services.processes import wait_until
from small_runs import new_attempt, small_spec

from flowbench.errors import InputError
from flowbench.spec.sweep import Resources
from flowbench.sweep.launchers.forkserver import TrialProgram
from flowbench.sweep.launchers.local import LocalLauncher
from flowbench.sweep.launchers.slurm import SlurmLauncher

pytestmark = pytest.mark.integration

BUDGET = {"unit": "epochs", "per_trial": 240, "trials": 3}


def live_jobs(slurm):
    return slurm.call("squeue", "--noheader", "--format=%j %T").splitlines()


@pytest.fixture
def new_sweep(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))

    def new_sweep(name, trials, **resources):
        return RealSweep(
            tmp_path / "runs",
            name,
            families={"nice": FAMILIES["nice"]},
            budget=BUDGET | {"trials": trials},
            resources={"engine": "slurm", **resources},
        )

    return new_sweep


def test_a_sweep_outlives_its_jobs_and_its_driver(slurm, new_sweep):
    sweep = new_sweep("alone", trials=3, slots=2)
    sweep.run()
    lost = hit(sweep, lambda attempt: leaders(sweep, attempt)[0].kill())
    adopted = survive_the_driver(sweep)
    check_end(sweep)

    goes_on_from(lost, sweep)
    # The job went on without a driver, and the next one took its result.
    assert adopted.result().outcome == "completed"
    assert sweep.runs()[adopted.path.parent.name].attempts()[-1].path == adopted.path
    assert live_jobs(slurm) == []


def test_two_ranks_on_two_nodes_outlive_the_loss_of_one(slurm, new_sweep):
    sweep = new_sweep("spread", trials=1, devices_per_trial=2, nodes_per_trial=2)
    sweep.run()
    nodes = []

    def kill_second(attempt):
        found = sorted(leaders(sweep, attempt), key=lambda p: p.environ()["SLURM_NODEID"])
        nodes.append([process.environ()["SLURMD_NODENAME"] for process in found])
        found[1].kill()

    lost = hit(sweep, kill_second)
    check_end(sweep)

    assert nodes[-1] == ["node1", "node2"]
    goes_on_from(lost, sweep)
    assert live_jobs(slurm) == []


def test_a_stopped_sweep_cancels_its_jobs(slurm, new_sweep):
    sweep = new_sweep("stopped", trials=3, slots=3)
    sweep.run()
    sweep.until(lambda: len(live_jobs(slurm)) == 3)
    sweep.driver.terminate()
    assert sweep.end() == 143, sweep.said()
    assert sweep.orphans() == []
    assert not any("RUNNING" in job or "PENDING" in job for job in live_jobs(slurm))


def test_a_sweep_that_goes_on_elsewhere_ends_its_jobs(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))
    program = tmp_path / "program.py"
    program.write_text("import time\nprint('it runs', flush=True)\ntime.sleep(600)\n")
    run, attempt = new_attempt("moved", small_spec({"name": "moons"}))
    SlurmLauncher(Resources(engine="slurm"), TrialProgram((str(program),))).start(run, attempt)
    wait_until(lambda: attempt.log.is_file() and "it runs" in attempt.log.read_text(), "the job")

    assert LocalLauncher().adopt(run, attempt) is None
    wait_until(lambda: live_jobs(slurm) == [], "its end")


def test_what_slurm_refuses_is_said_in_a_sentence(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWBENCH_HOME", str(tmp_path / "runs"))
    monkeypatch.setenv("SBATCH_PARTITION", "elsewhere")
    run, attempt = new_attempt("refused", small_spec({"name": "moons"}))
    launcher = SlurmLauncher(Resources(engine="slurm"))
    refusal = r"sbatch refused the job of refused: .*[Ii]nvalid partition"
    with pytest.raises(InputError, match=refusal):
        launcher.start(run, attempt)
