"""Faults that the measurements show: what no table's cell may be left to say alone."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from flowbench.compare.columns import significant
from flowbench.compare.runs import Frame
from flowbench.report.measures import INVERSION, UNUSUAL, fault_share

ROUND_OFF = {"": 1e-4, "_float64": 1e-9}
"""Errors of a typical point that round-off explains, in single and in double precision: some
hundred units in the last place, for coordinates of a few units."""
WORST = 1e-3
"""Error of a single point above which a flow is not called invertible in single precision."""
RECONSTRUCTION = 1e-3
"""Relative error of inputs that reversible backpropagation found again, above which the gradients
that trained a model are doubted."""
LOG_DET = 1e-3
"""Nats by which an exact log-det in double precision may differ from the Jacobian's."""
DEVIATIONS = 6.0
"""Standard deviations by which an estimated log-det may be off at its worst point."""


@dataclass(frozen=True)
class Finding:
    """One fault of one family on one data set."""

    data: str
    family: str
    kind: str
    """A key of `CHECKS`."""
    sentence: str


def findings(frame: Frame, table: pd.DataFrame) -> list[Finding]:
    """List what is wrong with the models that the leaderboard quotes, or should have quoted.

    Args:
        frame: all runs.
        table: the leaderboard made of them.
    """
    found = []
    cells = frame.runs[_matters(frame.runs, table)].groupby(["data", "family"], sort=True)
    for (data, family), runs in cells:
        for kind, check in CHECKS.items():
            for sentence in check(runs):
                found.append(Finding(str(data), str(family), kind, f"{family}: {sentence}"))
    return found


def _matters(runs: pd.DataFrame, table: pd.DataFrame) -> pd.Series:
    """Mark the quoted runs, confirming and single ones, and what was measured of them later.

    A run without a finite likelihood is never quoted: it is looked at all the same.
    """
    quoted = {run for ids in table["run_ids"] for run in ids}
    mine = runs["run"].isin(quoted) | runs["stage"].isin(("confirm", "single"))
    mine |= runs["measures"].isin(runs.loc[mine, "run"])
    return mine & (runs["outcome"] == "completed")


def _likelihood(runs: pd.DataFrame) -> Iterator[str]:
    for split, words in (("test", "test"), ("val", "validation")):
        bad, points = _worst(runs, f"{split}/nonfinite"), _worst(runs, f"{split}/points")
        if bad > 0:
            yield (
                f"no finite log-density at {bad:,.0f} of {points:,.0f} {words} points"
                f" ({fault_share(bad / points)}), so it has no likelihood"
            )


def _not_finite(runs: pd.DataFrame) -> Iterator[str]:
    subjects = {f"inversion/{key}": words for key, words in INVERSION.subjects.items()}
    subjects |= {f"inversion/{key}/flow": words for key, words in UNUSUAL.subjects.items()}
    # Data units have an edge: what is far from the data may lie beyond it, a sample may not.
    subjects["inversion/samples/data"] = "own samples, data units"
    shares = {
        words: worst
        for name, words in subjects.items()
        if (worst := _worst(runs, f"{name}/nonfinite")) > 0
    }
    if shares:
        each = ", ".join(f"{words} {fault_share(worst)}" for words, worst in shares.items())
        yield f"a round trip ends in no number for a share of the points: {each}"


def _samples(runs: pd.DataFrame) -> Iterator[str]:
    for name, what in (("samples", "its samples"), ("latent", "the latents of held-out points")):
        if (worst := _worst(runs, f"{name}/nonfinite")) > 0:
            yield f"{fault_share(worst)} of {what} are no numbers"


def _inverse(runs: pd.DataFrame) -> Iterator[str]:
    """Tell a wrong or unfinished inverse from round-off: double precision does not mend it."""
    trips = ("inversion/flow/xzx", "inversion/flow/zxz")
    single, double = (
        max(_worst(runs, f"{trip}/median{ending}") for trip in trips) for ending in ROUND_OFF
    )
    worst = _worst(runs, "inversion/flow/xzx/max")
    iterative = "iterative" in set(runs["label.inverse"])
    what = "its iterative inverse stops short" if iterative else "its decode does not undo encode"
    if double > ROUND_OFF["_float64"] and double > single / 10:
        yield (
            f"{what}: a typical point comes back {significant(double, 2)} off in double precision"
            " too, so this is no round-off"
        )
    elif single > ROUND_OFF[""]:
        yield f"{what}: a typical point comes back {significant(single, 2)} off"
    elif math.inf > worst > WORST:
        yield f"its worst held-out point comes back {significant(worst, 2)} off"


def _unconverged(runs: pd.DataFrame) -> Iterator[str]:
    given_up, points = _worst(runs, "inversion/unconverged"), _worst(runs, "inversion/points")
    if given_up > 0:
        yield f"its iterative inverse gave up on {given_up:,.0f} samples of {points:,.0f} points"


def _log_det(runs: pd.DataFrame) -> Iterator[str]:
    """Compare with the exact Jacobian: an estimate may be off by its own noise, a bound by all."""
    error, points = _worst(runs, "jacobian/log_det_error_max"), _worst(runs, "jacobian/points")
    labels = set(runs["label.log_det"])
    if "bound" in labels or not error > LOG_DET:
        return
    noise = max(
        # Of one point; the record has that of the mean.
        _worst(runs, f"{split}/estimator_se") * math.sqrt(max(_worst(runs, f"{split}/points"), 0))
        + max(_worst(runs, f"{split}/log_det_bias_bound"), 0)
        for split in ("test", "val")
    )
    if "estimate" not in labels or error > DEVIATIONS * max(noise, 0):
        yield (
            f"its log-det is off by up to {significant(error, 2)} nats from the exact Jacobian"
            f" ({points:,.0f} points): its likelihood is wrong by as much"
        )


def _gradients(runs: pd.DataFrame) -> Iterator[str]:
    if (worst := _worst(runs, "train/reconstruction_error")) > RECONSTRUCTION:
        yield (
            "reversible backpropagation found its inputs again with an error of up to "
            f"{significant(worst, 2)}: its gradients may have been wrong by as much"
        )


def _certificate(runs: pd.DataFrame) -> Iterator[str]:
    certified, measured = _worst(runs, "lipschitz/certified"), _worst(runs, "lipschitz/measured")
    if measured >= 1:
        yield f"a block's branch has a Lipschitz constant of {measured:.3f} or more: not invertible"
    elif certified >= 1:
        yield f"not certified to be invertible: the proven Lipschitz bound is {certified:.3f}"


CHECKS: dict[str, Callable[[pd.DataFrame], Iterator[str]]] = {
    "likelihood": _likelihood,
    "not finite": _not_finite,
    "samples": _samples,
    "inverse": _inverse,
    "unconverged": _unconverged,
    "log-det": _log_det,
    "certificate": _certificate,
    "gradients": _gradients,
}


def _worst(runs: pd.DataFrame, metric: str) -> float:
    """Return the largest value of a metric; -1 where it was not measured."""
    if metric not in runs:
        return -1.0
    value = float(runs[metric].max())
    return -1.0 if math.isnan(value) else value
