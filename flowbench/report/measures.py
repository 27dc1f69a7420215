"""The measures behind the leaderboard's three: which tables there are, and what their columns hold.

A table has a row a family and subject (a kind of input, a setting); an entry here is all it takes
to add a table or a column.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from flowbench.compare.columns import UNKNOWN, significant
from flowbench.spec.metrics import OUT_OF_DISTRIBUTION

Seeds = Literal["max", "min", "mean", "median"]
"""What stands for several seeds: the worst of an error, the mean of a share, the median of a
time."""


def small(value: float) -> str:
    """Write two significant digits."""
    return significant(value, 2)


def number(value: float) -> str:
    """Write three significant digits, thousands apart."""
    if 100 <= abs(value) < math.inf:
        return f"{float(f'{value:.3g}'):,.0f}"
    return significant(value, 3)


def count(value: float) -> str:
    """Write a whole number."""
    return f"{int(value):,}"


def fault_share(value: float) -> str:
    """Write a share of faults in per cent, rounded up: 0 is said of nothing more."""
    return "0 %" if value == 0 else f"{math.ceil(1000 * value) / 10:.1f} %"


def share(value: float) -> str:
    """Write a share in per cent, rounded down: 100 % is said of nothing less."""
    return f"{math.floor(1000 * value) / 10:.1f} %"


@dataclass(frozen=True)
class Measure:
    """One column.

    Attributes:
        metric: its name in the record; `{}` stands for the row's subject.
        title: of the column.
        meaning: one phrase.
        write: writes a value for a person.
        seeds: what stands for several seeds.
        good: which end is good; None where the column is not ranked.
    """

    metric: str
    title: str
    meaning: str
    write: Callable[[float], str] = small
    seeds: Seeds = "max"
    good: Literal["low", "high"] | None = None

    def written(self, value: float) -> str:
        return UNKNOWN if math.isnan(value) else self.write(value)


@dataclass(frozen=True)
class MeasureTable:
    """One table.

    Attributes:
        name: fit for a file name.
        title: in words.
        note: what a reader must know to read it.
        measures: its columns.
        subjects: what its rows are about beside the family: the part of the metrics' names, and
            the words for it.
        about: the title of the subjects' column; empty where there is one subject only.
    """

    name: str
    title: str
    note: str
    measures: tuple[Measure, ...]
    subjects: Mapping[str, str] = field(default_factory=lambda: {"": ""})
    about: str = ""

    @property
    def own(self) -> list[Measure]:
        """The measures that make a row: what all subjects share (a number of points) does not."""
        return [m for m in self.measures if "{}" in m.metric or not self.about]


def _errors(ending: str, words: str) -> tuple[Measure, ...]:
    return (
        Measure(f"inversion/{{}}/max{ending}", f"largest{words}", "worst point of the worst seed",
                good="low"),
        Measure(f"inversion/{{}}/nonfinite{ending}", f"not finite{words}",
                "share of points that end in no number", fault_share),
    )  # fmt: skip


_QUANTILES = (
    Measure("inversion/{}/median", "median", "median point", seeds="median"),
    Measure("inversion/{}/p99", "p99", "99th percentile over points"),
    *_errors("", ""),
    *_errors("_float64", ", float64"),
)

LIKELIHOOD = MeasureTable(
    "likelihood", "Likelihood in detail",
    "An importance-weighted value is the logarithm of the mean density over several dequantization"
    " draws; it is never ranked beside single draws.",
    (
        Measure("{}/points", "points", "held-out points scored", count, "min"),
        Measure("{}/nonfinite", "not finite", "points without a finite log-density", count),
        Measure("{}/bits_per_dim_iw", "bits/dim, weighted", "importance-weighted", number, "mean"),
        Measure("{}/nats_standardised", "log p, standardised", "nats where each column has"
                " deviation 1", number, "mean"),
        Measure("{}/estimator_se", "estimator s.e.", "noise of estimated log-dets, nats"),
        Measure("{}/log_det_bias_bound", "bias bound", "the most that truncated series are off,"
                " nats a point"),
    ),
    {"test": "test", "val": "validation"}, "split",
)  # fmt: skip

INVERSION = MeasureTable(
    "inversion", "Inversion error",
    "Largest coordinate error of each point after a round trip. Double precision tells round-off,"
    " which it shrinks, from a wrong inverse, which it leaves.",
    (
        *_QUANTILES,
        Measure("inversion/exact_share", "exact", "integer points that come back exactly", share,
                "min"),
        Measure("inversion/contraction", "contraction", "factor by which an iteration of an"
                " iterative inverse lowers its error", number),
        Measure("inversion/points", "points", "held-out points tried", count, "min"),
    ),
    {
        "flow/xzx": "x → z → x", "flow/zxz": "z → x → z", "flow/xzx9": "nine times x → z → x",
        "data/xzx": "x → z → x, data units", "data/zxz": "z → x → z, data units",
    },
    "round trip",
)  # fmt: skip

_INPUTS = {
    "samples": "own samples",
    **dict(zip(
        OUT_OF_DISTRIBUTION,
        ("uniform noise", "Gaussian noise", "random signs", "far away", "shuffled coordinates"),
        strict=True,
    )),
}  # fmt: skip
UNUSUAL = MeasureTable(
    "unusual-inputs", "Inversion on own samples and inputs unlike the data",
    "x → z → x in flow coordinates; the last columns in data units.",
    (
        *(Measure(m.metric.replace("{}", "{}/flow"), m.title, m.meaning, m.write, m.seeds, m.good)
          for m in _QUANTILES),
        Measure("inversion/{}/data/max", "largest, data units", "worst point of the worst seed"),
        Measure("inversion/{}/data/nonfinite", "not finite, data units",
                "share of points that end in no number", fault_share),
        Measure("inversion/{}/points", "points", "tried", count, "min"),
    ),
    _INPUTS, "input",
)  # fmt: skip

JACOBIAN = MeasureTable(
    "jacobian", "Exact Jacobian",
    "Of encode in flow coordinates and double precision, by automatic differentiation. A large"
    " condition number loses as many digits in a round trip; the log-det must agree.",
    (
        Measure("jacobian/condition_median", "condition, median", "largest over smallest singular"
                " value", number, "median", "low"),
        Measure("jacobian/condition_max", "condition, largest", "of all points", number, "max",
                "low"),
        Measure("jacobian/sigma_min", "smallest singular value", "of all points", small, "min"),
        Measure("jacobian/sigma_max", "largest singular value", "of all points", number),
        Measure("jacobian/log_det_error_max", "log-det error", "largest difference of the flow's"
                " log-det from the Jacobian's, nats", good="low"),
        Measure("jacobian/points", "points", "at which it was taken", count, "min"),
    ),
)  # fmt: skip


def _timed(batch: int) -> tuple[Measure, ...]:
    name, at = f"sampling/b{batch}", f"batch {batch:,}"
    return (
        Measure(f"{name}/latency_ms{{}}", f"ms, {at}", "time of a batch", number, "median"),
        Measure(f"{name}/latency_ms_iqr{{}}", f"IQR, {at}", "interquartile range of that time",
                number, "median"),
        Measure(f"{name}/samples_per_second{{}}", f"samples/s, {at}", "throughput", number,
                "median"),
    )  # fmt: skip


SPEED = MeasureTable(
    "sampling", "Sampling speed",
    "Median over repeats after a warm-up, with the interquartile range. Iterative samplers run at"
    " the loosest setting whose worst error is the one stated.",
    (*_timed(1), *_timed(64), *_timed(1024)),
    {"": "as it is", "_at_1e-3": "1e-3", "_at_1e-4": "1e-4", "_at_1e-5": "1e-5",
     "_at_1e-6": "1e-6"}, "worst error",
)  # fmt: skip

COST = MeasureTable(
    "cost", "What it costs",
    "Density evaluation and training steps on the same device as sampling; memory is the peak"
    " beside the model and its batch; operations are of matrix products and convolutions, a point.",
    (
        Measure("density/b1/latency_ms", "density, ms", "log_prob of one point", number, "median",
                "low"),
        Measure("density/b1024/points_per_second", "density, points/s", "at batch 1,024", number,
                "median", "high"),
        Measure("training/step_ms", "step, ms", "a training step, batch as trained", number,
                "median", "low"),
        *(Measure(f"memory/{kind}_mib", f"{kind}, MiB", "peak memory", number, "max", "low")
          for kind in ("sampling", "density", "training")),
        *(Measure(f"flops/{kind}", f"{kind.replace('_', ' ')}, operations", "a point", number,
                  "median", "low")
          for kind in ("sampling", "density", "training_step")),
    ),
)  # fmt: skip

SAMPLES = MeasureTable(
    "samples", "How good samples look",
    "Images by a small frozen classifier: confidence, and precision and recall by nearest"
    " neighbours in its features, beside the same of held-out data. Vectors by a classifier that"
    " tells samples from data: 0.5 is chance.",
    (
        Measure("samples/confident_share", "confident", "share of samples that the classifier is"
                " sure of", share, "mean", "high"),
        Measure("samples/real_confident_share", "confident, data", "the same of held-out data",
                share, "mean"),
        Measure("samples/confidence_mean", "confidence", "mean", number, "mean", "high"),
        Measure("samples/real_confidence_mean", "confidence, data", "the same of held-out data",
                number, "mean"),
        Measure("samples/precision", "precision", "share of samples that lie among the data",
                number, "mean", "high"),
        Measure("samples/real_precision", "precision, data", "the same of held-out data", number,
                "mean"),
        Measure("samples/recall", "recall", "share of data that lie among the samples", number,
                "mean", "high"),
        Measure("samples/real_recall", "recall, data", "the same of held-out data", number, "mean"),
        Measure("samples/two_sample_accuracy", "told apart", "accuracy of the two-sample"
                " classifier", number, "mean", "low"),
        Measure("samples/two_sample_p", "p", "of that accuracy at chance", small, "median"),
        Measure("samples/nonfinite", "not finite", "share of samples that are no numbers",
                fault_share),
        Measure("samples/points", "samples", "scored", count, "min"),
    ),
)  # fmt: skip

LATENT = MeasureTable(
    "latent", "Calibration of the latent",
    "Kolmogorov-Smirnov distance of the latents of held-out data from the base, coordinate by"
    " coordinate (p by Holm's correction) and of their norm.",
    (
        Measure("latent/ks_median", "median distance", "over coordinates", number, "median", "low"),
        Measure("latent/ks_max", "largest distance", "over coordinates", number, "max", "low"),
        Measure("latent/ks_p_min", "p", "smallest, corrected for the number of coordinates", small,
                "min"),
        Measure("latent/radius_ks", "norm, distance", "of the latents' norm", number, "max", "low"),
        Measure("latent/radius_p", "norm, p", "of that distance", small, "min"),
        Measure("latent/nonfinite", "not finite", "share of latents that are no numbers",
                fault_share),
        Measure("latent/points", "points", "encoded", count, "min"),
    ),
)  # fmt: skip

TABLES = (LIKELIHOOD, INVERSION, UNUSUAL, JACOBIAN, SPEED, COST, SAMPLES, LATENT)
