"""A driver as a process of its own: `drive.py SWEEP.json` runs stand-in trials, as `sweep run`."""

import sys
from pathlib import Path

from stand_in_sweep import stand_ins

from flowbench.spec.files import read_file
from flowbench.spec.sweep import read_sweep
from flowbench.sweep import run_sweep

if __name__ == "__main__":
    sweep = read_sweep(read_file(Path(sys.argv[1])))
    run_sweep(sweep, launcher=stand_ins(2), defaults={})
