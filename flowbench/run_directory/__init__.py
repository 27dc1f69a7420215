"""The protocol between a trial and its driver: files under `runs/<id>/`, written atomically.

runs/<id>/spec.json                      the resolved RunSpec
runs/<id>/replay.json                    the Replay, where the run repeats an earlier one
runs/<id>/speed.json                     a TrialResult: the sampling speed, measured later, alone
runs/<id>/attempt-<n>/terms.json         the Terms: limits, and how long to wait for verdicts
runs/<id>/attempt-<n>/events.jsonl       what happened, one JSON object a line (rank 0 writes)
runs/<id>/attempt-<n>/progress           the last Sign of life
runs/<id>/attempt-<n>/PRUNE              the driver's wish that the trial stop
runs/<id>/attempt-<n>/JUDGED             the step of the last validation that the driver has judged
runs/<id>/attempt-<n>/pace.json          the Pace of a training with a budget in seconds
runs/<id>/attempt-<n>/result.json        the TrialResult: present if and only if it is final
runs/<id>/attempt-<n>/log                stdout and stderr of the trial's processes
runs/<id>/attempt-<n>/checkpoints/       best.pt, resume.ckpt
"""

from flowbench.run_directory.attempt import AttemptDirectory
from flowbench.run_directory.files import DISK_FULL, NO_ROOM, PARENT, home, write_atomically
from flowbench.run_directory.records import Pace, Replay, Sign, Terms, TrialResult
from flowbench.run_directory.run import RunDirectory, find_model, find_run

__all__ = [
    "DISK_FULL",
    "NO_ROOM",
    "PARENT",
    "AttemptDirectory",
    "Pace",
    "Replay",
    "RunDirectory",
    "Sign",
    "Terms",
    "TrialResult",
    "find_model",
    "find_run",
    "home",
    "write_atomically",
]
