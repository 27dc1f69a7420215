"""The front of a sweep with two objectives: the trials that no other beats in both."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from flowbench.run_directory import RunDirectory
from flowbench.spec.search import Constraints
from flowbench.spec.vocabulary import SAMPLING_TIME
from flowbench.sweep.constraints import violations
from flowbench.tracking.provenance import Provenance


@dataclass(frozen=True)
class FrontTrial:
    """A trial of the front of its family and data set."""

    family: str
    data: str
    run: str
    bits_per_dim: float
    """On validation data."""
    milliseconds_per_sample: float
    """Timed roughly, beside other trials."""


def front(runs: Iterable[RunDirectory], constraints: Constraints) -> tuple[FrontTrial, ...]:
    """Return the fronts of the completed tuning trials that keep to the limits, the best first."""
    cells: defaultdict[tuple[str, str], list[FrontTrial]] = defaultdict(list)
    for run in runs:
        why, result = Provenance.read(run), run.result()
        if why.stage != "tune" or result is None or result.outcome != "completed":
            continue
        if any(decades > 0 for decades in violations(result.metrics, constraints).values()):
            continue
        bits, time = result.metrics["val/bits_per_dim"], result.metrics[SAMPLING_TIME]
        cells[why.family, why.data].append(FrontTrial(why.family, why.data, run.id, bits, time))
    found: list[FrontTrial] = []
    for trials in cells.values():
        fastest = float("inf")
        for trial in sorted(trials, key=lambda t: (t.bits_per_dim, t.milliseconds_per_sample)):
            if trial.milliseconds_per_sample < fastest:
                fastest = trial.milliseconds_per_sample
                found.append(trial)
    return tuple(found)
