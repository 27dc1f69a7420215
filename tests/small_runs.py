"""Runs of a second or two on real parts: a table of a few hundred rows, tiny flows."""

import os
import subprocess
import sys

import numpy as np

from flowbench.run_directory import RunDirectory, home
from flowbench.spec.run import RunSpec

REALNVP = {"name": "realnvp", "depth": 2, "hidden": [16]}
ROULETTE = {"name": "residual", "depth": 2, "hidden": [16], "log_det": "roulette"}


def write_table(path, rows=175, columns=3):
    """Write a correlated, skewed table; 175 rows are split into 140, 17 and 18."""
    noise = np.random.default_rng(7)
    x = noise.normal(size=(rows, columns)) @ noise.normal(size=(columns, columns))
    x[:, 0] = np.exp(0.5 * x[:, 0])
    np.save(path, x)
    return path


def small_spec(data, family=REALNVP, evaluation=(), **training):
    """Describe a run of a few steps, whose sampling speed is not measured."""
    return RunSpec.model_validate(
        {
            "family": family,
            "data": data if isinstance(data, dict) else {"path": str(data)},
            "training": {"max_epochs": 3, "batch_size": 31, "warmup_steps": 5, **training},
            "evaluation": {"speed": False, "samples": 4, **dict(evaluation)},
        }
    )


def new_attempt(name, spec):
    """Make the next attempt at a run, as a driver does."""
    run = RunDirectory(home() / name)
    run.write_spec(spec)
    attempt = run.attempt(len(run.attempts()))
    attempt.create()
    return run, attempt


def start_trial(run, attempt, *more, **environment):
    """Start the program that drivers start."""
    program = (sys.executable, "-m", "flowbench.trial")
    with attempt.log.open("ab") as log:
        return subprocess.Popen(
            [*program, run.path, "--attempt", str(attempt.number), *more],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "FLOWBENCH_PARENT": str(os.getpid()), **environment},
        )


def validations(attempt):
    """Return the validation events of an attempt."""
    return [event for event in attempt.events()[0] if event["kind"] == "validation"]
