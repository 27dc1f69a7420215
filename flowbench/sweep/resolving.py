"""A sweep's families and data checked before anything starts, by a process that may load torch."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from flowbench.errors import InputError
from flowbench.spec.sweep import SweepSpec

RESOLVE_PROGRAM = (sys.executable, "-m", "flowbench.trial", "--resolve")
BAD_INPUT = 2


def candidates(sweep: SweepSpec, family: str) -> list[dict[str, Any]]:
    """Return configurations of a family that between them hold every bound and choice once."""
    fixed = _own_keys(sweep.families[family].fixed)
    found = [fixed]
    for key, distribution in sweep.space(family).items():
        extremes: list[Any] = list(distribution.choices)
        if not extremes:
            ends = (distribution.low, distribution.high)
            extremes = [int(end) for end in ends] if distribution.kind == "int" else list(ends)
        needed = {parent: allowed[0] for parent, allowed in distribution.when.items()}
        found += [{**fixed, **_own_keys({**needed, key: value})} for value in extremes]
    return found


def question(sweep: SweepSpec) -> str:
    """Return what is to be checked of a sweep, as JSON."""
    return json.dumps({
        "name": sweep.name,
        "families": {family: candidates(sweep, family) for family in sweep.families},
        "data": [data.model_dump(mode="json") for data in sweep.data_labels.values()],
        "data_seed": sweep.data_seed,
    })  # fmt: skip


def resolve_families(
    sweep: SweepSpec, program: Sequence[str] = RESOLVE_PROGRAM
) -> dict[str, dict[str, Any]]:
    """Check every key of every family, and every data set, and return the families' defaults.

    Args:
        sweep: the sweep.
        program: what reads the question on its standard input and answers on its standard output.

    Raises:
        InputError: for a key that does not belong to its family, a value out of its range, or an
            unknown family or data set.
    """
    done = subprocess.run(  # noqa: S603 - our own program
        list(program), input=question(sweep), capture_output=True, text=True, check=False
    )
    if done.returncode == BAD_INPUT:
        raise InputError(f"sweep {sweep.name}: {_last(done.stderr)}")
    if done.returncode != 0:
        raise RuntimeError(f"the families could not be checked: {done.stderr}")
    answer: dict[str, dict[str, Any]] = json.loads(_last(done.stdout))
    return answer


def _own_keys(values: dict[str, Any]) -> dict[str, Any]:
    """Return the family's keys by their bare names."""
    prefix = "family."
    return {key.removeprefix(prefix): v for key, v in values.items() if key.startswith(prefix)}


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
