"""The metrics of the record: every name, its unit and what it means. No torch.

A name is written with its alternatives in braces, `inversion/{flow,data}/xzx/max`; an empty
alternative makes an ending optional, `nats{,_se}`. Two endings mean the same everywhere: `_se` is a
standard error, `_iqr` the interquartile range over repeats. `b64` is a batch of 64; a run may name
other sizes than the usual three.

The protocols differ in how much is measured, never in what a name means: `full` adds to `quick`. A
run says in its label `protocol` which of them it was measured by.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

from flowbench.spec.vocabulary import Protocol

QUANTILES = "{max,p99,median,nonfinite}"
"""Of errors over points: `nonfinite` is the share of those that end in no number."""

OUT_OF_DISTRIBUTION = ("uniform", "gaussian", "rademacher", "far", "shuffled")
"""The kinds of input that no model was trained on; `evaluation.inputs` makes them."""

ITERATIONS = (1, 2, 5, 10, 20, 50, 100, 200)
"""Where the error of an iterative inverse is measured along its iterations."""

_INPUTS = "{samples," + ",".join(OUT_OF_DISTRIBUTION) + "}"
_TIMED = "{,_at_1e-3,_at_1e-4,_at_1e-5,_at_1e-6}"


@dataclass(frozen=True)
class Metric:
    """A metric, or several of one meaning.

    Attributes:
        pattern: its names, alternatives in braces.
        unit: of its values; empty for a share or another bare number.
        meaning: one sentence.
        protocol: the least protocol that measures it.
    """

    pattern: str
    unit: str
    meaning: str
    protocol: Protocol = "quick"

    def names(self) -> Iterator[str]:
        """Yield every name that the pattern stands for."""
        parts = re.split(r"\{([^}]*)\}", self.pattern)
        choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
        return ("".join(chosen) for chosen in product(*choices))


METRICS = (
    # While training
    Metric("train/{base_log_prob,log_det}", "nats", "the two terms of the last epoch's loss"),
    Metric("train/bits_per_dim", "bits/dim", "of the last epoch, as it was trained"),
    Metric(
        "train/reconstruction_error", "",
        "reversible backpropagation: the largest error of an input that the last epoch found again,"
        " relative to the largest element of its batch; gradients are wrong by about as much",
    ),
    Metric("{epochs,steps}", "", "begun epochs, and steps of the optimiser, in all attempts"),
    Metric("{seconds,device_seconds}", "s", "of the run, and of its fit times its devices"),
    # Likelihood
    Metric("{val,test}/nats{,_se}", "nats", "mean log-density in data units"),
    Metric("{val,test}/bits_per_dim{,_se}", "bits/dim", "-log2 p / D in data units"),
    Metric("{val,test}/{points,nonfinite}", "", "points scored, and those without a finite value"),
    Metric(
        "{val,test}/gain_over_gaussian", "bits/dim",
        "below the full-covariance Gaussian fitted to the training split",
    ),
    Metric("{val,test}/nats_standardised", "nats", "where each column has deviation 1"),
    Metric(
        "{val,test}/excess_over_entropy{,_se}", "nats",
        "mean of log p_true - log q where the true density is known",
    ),
    Metric("{val,test}/estimator_se", "nats", "the part of nats_se from estimated log-dets"),
    Metric("{val,test}/log_det_bias_bound", "nats", "the most that truncated series are off"),
    Metric(
        "{val,test}/nats_iw{,_se}", "nats",
        "log of the mean density over K dequantization draws; label iw_draws is K",
    ),
    Metric("{val,test}/bits_per_dim_iw{,_se}", "bits/dim", "the same as bits a dimension"),
    # Inversion; an ending _float64 is of the model's copy in double precision
    Metric(
        f"inversion/{{flow,data}}/{{xzx,zxz}}/{QUANTILES}", "",
        "largest coordinate error of a held-out point after x->z->x, of a latent after z->x->z; in "
        "flow coordinates (the ranked ones) or in data units",
    ),
    Metric("inversion/exact_share", "", "integer points that come back exactly"),
    Metric("inversion/points", "", "held-out points that made the round trip"),
    Metric("inversion/{iterations_mean,iterations_max}", "", "of one iterative solve"),
    Metric(
        "inversion/evaluations_{mean,max}_at_1e-5", "",
        "of a branch, for one fixed point, at the loosest tolerance with which no held-out point"
        " errs by more than 1e-5 after x->z->x (float64)",
    ),
    Metric("inversion/unconverged", "", "samples that an iterative solve gave up on"),
    Metric(
        f"inversion/{{flow,data}}/{{xzx,zxz}}/{QUANTILES}_float64", "",
        "the same of the float64 copy", "full",
    ),
    Metric(
        "inversion/{exact_share,points,iterations_mean,iterations_max,unconverged}_float64", "",
        "the same of the float64 copy", "full",
    ),
    Metric(f"inversion/flow/xzx9/{QUANTILES}", "", "after nine round trips in a row", "full"),
    Metric("inversion/flow/xzx9/points", "", "points that made them", "full"),
    Metric(
        f"inversion/{_INPUTS}/{{flow,data}}/{QUANTILES}{{,_float64}}", "",
        "error of x->z->x of own samples and of out-of-distribution inputs", "full",
    ),
    Metric(f"inversion/{_INPUTS}/points{{,_float64}}", "", "how many were tried", "full"),
    Metric(
        f"inversion/iterations/{{{','.join(map(str, ITERATIONS))}}}/{{max,median}}", "",
        "error of x->z->x where every fixed point is cut off after so many evaluations of its "
        "branch (float64)", "full",
    ),
    Metric("inversion/iterations/points", "", "points behind that curve", "full"),
    Metric(
        "inversion/contraction", "",
        "factor by which an iteration lowers that error, fitted to its median", "full",
    ),
    # The exact Jacobian of encode, in flow coordinates and float64
    Metric("jacobian/condition_{max,median}", "", "largest over smallest singular value", "full"),
    Metric("jacobian/sigma_{min,max}", "", "the extreme singular values of all points", "full"),
    Metric(
        "jacobian/log_det_error_max", "nats",
        "largest difference of the flow's log-det, preprocessing included, from the Jacobian's",
        "full",
    ),
    Metric("jacobian/points", "", "held-out points at which it was taken", "full"),
    # Speed, on an idle device; an ending _at_1e-4 states the worst error of an iterative sampler
    Metric(f"sampling/b{{1,64,1024}}/latency_ms{{,_iqr}}{_TIMED}", "ms", "time of a batch"),
    Metric(f"sampling/b{{1,64,1024}}/samples_per_second{_TIMED}", "1/s", "throughput"),
    Metric("sampling/worst_error", "", "reached at the loosest of these settings, against float64"),
    Metric("density/b{1,64,1024}/latency_ms{,_iqr}", "ms", "time of log_prob of a batch", "full"),
    Metric("density/b{1,64,1024}/points_per_second", "1/s", "its throughput", "full"),
    Metric("training/step_ms{,_iqr}", "ms", "time of a training step, batch as trained", "full"),
    # Costs
    Metric(
        "memory/{sampling,density,training}_mib", "MiB",
        "peak of what tensors take beside the model and its batch; training includes gradients "
        "and the optimiser's state", "full",
    ),
    Metric(
        "flops/{sampling,density,training_step}", "",
        "operations of matrix products and convolutions a point; of a step, a point of its batch",
        "full",
    ),
    Metric("memory/peak_bytes", "B", "most that the process of a run held, training included"),
    Metric("rough/milliseconds_per_sample", "ms", "beside other trials: for a search's own use"),
    # Samples and latents
    Metric(
        "samples/{,real_}{confident_share,confidence_mean}", "",
        "of a frozen classifier on samples, and on held-out points", "full",
    ),
    Metric(
        "samples/{,real_}{precision,recall}", "",
        "by nearest neighbours in the classifier's features", "full",
    ),
    Metric(
        "samples/two_sample_accuracy{,_se}", "",
        "of a classifier that tells samples from held-out points; 0.5 is chance", "full",
    ),
    Metric("samples/two_sample_p", "", "of that accuracy at chance", "full"),
    Metric("samples/{points,nonfinite}", "", "samples scored; share that are no numbers", "full"),
    Metric(
        "latent/{ks_max,ks_median,ks_p_min}", "",
        "Kolmogorov-Smirnov distance of each latent coordinate from the base; p-values by Holm",
        "full",
    ),
    Metric("latent/radius_{ks,p}", "", "the same of the latent's norm", "full"),
    Metric("latent/{points,nonfinite}", "", "points encoded; share that are no numbers", "full"),
    # Residual flows
    Metric(
        "lipschitz/{declared,per_layer,certified,certified_share,measured}", "",
        "bound of each branch, of each of its maps; proven from weights; seen at points",
    ),
)  # fmt: skip
"""Everything but `baseline/...`, which the data set names."""


@cache
def by_name() -> dict[str, Metric]:
    """Return every name that is in the record, with its metric."""
    return {name: metric for metric in METRICS for name in metric.names()}
