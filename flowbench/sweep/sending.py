"""Sending to the record whatever it has not got: after an outage, or into a new one."""

from flowbench.run_directory import RunDirectory, home
from flowbench.sweep.directory import SweepDirectory
from flowbench.tracking.record import Recorder


def send_everything(recorder: Recorder) -> int:
    """Send every sweep, finished run and later measurement under the home directory.

    Returns:
        How many of them the record still has not got.
    """
    unsent = 0
    for path in sorted(home().glob("*/sweep.json")):
        sweep = SweepDirectory(path.parent).spec()
        specification = sweep.model_dump_json(indent=1)
        unsent += not recorder.record_sweep(sweep.name, sweep.hash, specification)
    runs = sorted(home().glob("*/spec.json"))
    return unsent + recorder.sync(RunDirectory(path.parent) for path in runs)
