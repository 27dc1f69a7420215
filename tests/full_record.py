"""A record with all that a report can show: searches, defaults, full measurements, many data."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from synthetic_record import FAMILIES, LN2, TRAITS, Record, RecordedRun, drawn, measured

from flowbench.spec.metrics import ITERATIONS, OUT_OF_DISTRIBUTION
from flowbench.tracking import schema

SEEDS, TRIALS, POINTS = 5, 10, 240
SPLITS = {
    "nice": ("half", "parity"),
    "realnvp": ("half", "parity", "channel"),
    "glow": ("half", "channel"),
}
DATA = {"digits": (64, 2.29, 2.05), "moons": (2, 1.95, 1.42)}
"""Dimensions, bits/dim of the Gaussian, and bits/dim of the best family."""
SEARCHED = ("realnvp", "planar", "residual")
"""Families that searched on moons too."""
MORE = ("rings", "checkerboard", "pinwheel")
"""Small data sets beside them: with five in all, ranks are tested."""
LEARNING_RATE_MATTERS = {("planar", "moons"): 0.01}
"""Bits/dim that a tenfold smaller learning rate costs, 0.2 elsewhere; depth costs a hundredth of
that a step. A family that is never far from its best wins at small budgets."""


def full_record(directory: Path) -> str:
    """Write the sweep `full` and return its address."""
    record = Record(directory)
    noise = np.random.default_rng(2)
    for data, (dimensions, gaussian, best) in DATA.items():
        hardness = noise.normal(0, 0.25 * math.sqrt(dimensions), POINTS)
        for family in FAMILIES:
            about = About(family, data, dimensions, gaussian, best + TRAITS[family][0])
            for trial in range(TRIALS if data == "digits" or family in SEARCHED else 0):
                record.add(about.trial(noise, trial))
            for seed in range(SEEDS):
                confirmed = about.confirmed(noise, seed, hardness)
                record.add(confirmed)
                if seed == 0:
                    record.add(about.in_full(confirmed))
    for number, data in enumerate(MORE):
        hardness = noise.normal(0, 0.3, POINTS)
        for family in FAMILIES:
            # Ranks differ: each of the first two families wins somewhere.
            level = 1.5 + TRAITS[family][0] + (0.1 if family == FAMILIES[number % 2] else 0)
            about = About(family, data, 2, 2.2, level)
            record.add(replace(about.confirmed(noise, 0, hardness), points=None, curve=[]))
    return record.uri


class About:
    """One family on one data set."""

    def __init__(self, family, data, dimensions, gaussian, level):
        self.family, self.data, self.dimensions = family, data, dimensions
        self.gaussian, self.level = gaussian, level
        self.iterative = family in ("planar", "sylvester", "residual")
        self.name = f"full.{family}.{data}"
        discrete = data == "digits"
        steps = {"name": "logit", "lam": 0.01} if discrete else {"name": "standardise"}
        self.labels = {
            "log_det": "estimate" if family == "residual" else "exact",
            "data": "dequantised" if discrete else "density",
            "inverse": "iterative" if self.iterative else "analytic",
            "preprocess": json.dumps([steps]), "protocol": "quick",
        }  # fmt: skip
        self.tags = {schema.N_PARAMETERS: str(TRAITS[family][3]), schema.BUDGET_TRIALS: str(TRIALS)}
        self.common = {
            "baseline/gaussian/val/bits_per_dim": gaussian,
            "baseline/gaussian/test/bits_per_dim": gaussian,
        }
        if not discrete:
            self.common["baseline/entropy/nats"] = (level - TRAITS[family][0]) * 2 * LN2 - 0.02

    def parameters(self, trial: int) -> dict[str, str]:
        """The best are trials 0, 4 and 8: the learning rate turns round every four."""
        found = {
            "training.learning_rate": f"{10 ** -(2 + trial % 4)}",
            "family.depth": str(2 + trial % 3),
        }
        if self.family in SPLITS:
            choices = SPLITS[self.family]
            found["family.split"] = choices[trial % len(choices)]
        if self.family == "residual":
            found["family.lipschitz"] = str((0.5, 0.9, 0.97)[trial // 4])
        if self.data != "digits":
            found["data.name"] = self.data
        return found

    def trial(self, noise, trial: int) -> RecordedRun:
        matters = LEARNING_RATE_MATTERS.get((self.family, self.data), 0.2)
        level = self.level + matters * (trial % 4) + 0.002 * (trial % 3)
        level += noise.normal(0, 1e-4)
        metrics = {
            "val/bits_per_dim": level, "val/bits_per_dim_se": 0.01,
            "val/nats": -level * self.dimensions * LN2,
            "val/gain_over_gaussian": self.gaussian - level, "device_seconds": 10.0 + trial,
            "epochs": 20.0, **self.common,
        }  # fmt: skip
        if self.data == "moons":
            metrics["val/excess_over_entropy"] = (level - 1.4) * 2 * LN2
            metrics["val/excess_over_entropy_se"] = 0.01
        tags = {**self.tags, schema.TRIAL: str(trial)}
        if trial == 1:
            tags[schema.DEFAULT] = "yes"
        return RecordedRun(
            f"{self.name}.{trial:04d}", self.family, self.data, sweep="full", labels=self.labels,
            tags=tags, metrics=metrics, parameters=self.parameters(trial),
        )  # fmt: skip

    def confirmed(self, noise, seed: int, hardness: np.ndarray) -> RecordedRun:
        level = self.level + noise.normal(0, 0.006)
        to_nats = self.dimensions * LN2
        nats = -level * to_nats + hardness + noise.normal(0, 0.1, len(hardness))
        metrics = {
            **measured(nats, self.dimensions, "test", self.gaussian), **self.common,
            "inversion/flow/xzx/max": TRAITS[self.family][2] * (1 + 0.1 * seed),
            "inversion/flow/xzx/median": TRAITS[self.family][2] / 10,
            "inversion/flow/xzx/nonfinite": 0.0, "inversion/points": float(POINTS),
            "test/points": float(POINTS), "test/nonfinite": 0.0,
        }  # fmt: skip
        if self.data == "moons":
            metrics["test/excess_over_entropy"] = (level - 1.4) * 2 * LN2
            metrics["test/excess_over_entropy_se"] = 0.004
        curve = [level + math.exp(-0.8 * i) for i in range(8)] if seed == 0 else []
        return RecordedRun(
            f"{self.name}.confirm-{seed}", self.family, self.data, sweep="full", stage="confirm",
            model_seed=100 + seed, labels=self.labels, tags=self.tags, metrics=metrics, curve=curve,
            parameters=self.parameters(0),
            points=pd.DataFrame({"row": np.arange(len(nats)), "log_prob": nats, "se": 0.0}),
            samples=self.samples() if seed == 0 and self.data in DATA else None,
        )  # fmt: skip

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Samples from a generator of their own, so that no other number depends on them."""
        return drawn(np.random.default_rng(0), self.data, TRAITS[self.family][0])

    def in_full(self, run: RecordedRun) -> RecordedRun:
        """The full measurement of a run: a run of its own."""
        _, speed, error, _ = TRAITS[self.family]
        metrics = {"samples/two_sample_accuracy": 0.55, "samples/two_sample_p": 0.04}
        metrics |= {"latent/ks_max": 0.08, "latent/ks_median": 0.03, "latent/ks_p_min": 0.2}
        metrics |= {"latent/radius_ks": 0.05, "latent/radius_p": 0.3}
        for trip in ("flow/xzx", "flow/zxz", "data/xzx", "data/zxz", "flow/xzx9"):
            metrics |= _errors(f"inversion/{trip}", error * (1 + (trip == "flow/xzx9")))
        for kind in ("samples", *OUT_OF_DISTRIBUTION):
            worse = 10.0 if kind == "far" else 1.0
            metrics |= _errors(f"inversion/{kind}/flow", error * worse)
            metrics |= _errors(f"inversion/{kind}/data", error * worse * 3)
            metrics[f"inversion/{kind}/points"] = float(POINTS)
        metrics |= {
            "jacobian/condition_max": 1e3, "jacobian/condition_median": 40.0,
            "jacobian/sigma_min": 0.02, "jacobian/sigma_max": 20.0, "jacobian/points": 16.0,
            "jacobian/log_det_error_max": 1e-10, "inversion/points": float(POINTS),
            "training/step_ms": 1e5 / speed, "test/points": float(POINTS),
        }  # fmt: skip
        if self.family == "residual":
            metrics["jacobian/log_det_error_max"] = 0.02
            metrics["test/estimator_se"] = 0.01
            for n in ITERATIONS:
                metrics[f"inversion/iterations/{n}/max"] = 0.6**n + 1e-14
                metrics[f"inversion/iterations/{n}/median"] = 0.5**n + 1e-15
            metrics["inversion/contraction"] = 0.5
        for kind, share in (("sampling", 1.0), ("density", 1.5), ("training", 4.0)):
            metrics[f"memory/{kind}_mib"] = share * self.dimensions
        for kind, share in (("sampling", 1.0), ("density", 1.0), ("training_step", 3.0)):
            metrics[f"flops/{kind}"] = share * 2e5
        endings = ("_at_1e-4", "_at_1e-5") if self.iterative else ("",)
        for batch, share in ((1, 0.004), (64, 0.2), (1024, 1.0)):
            rate = speed * share * 2 / self.dimensions**0.5
            metrics[f"density/b{batch}/points_per_second"] = rate * 2
            metrics[f"density/b{batch}/latency_ms"] = 500 * batch / rate
            for slower, ending in enumerate(endings, 1):
                metrics[f"sampling/b{batch}/samples_per_second{ending}"] = rate / slower
                metrics[f"sampling/b{batch}/latency_ms{ending}"] = 1000 * batch * slower / rate
                metrics[f"sampling/b{batch}/latency_ms_iqr{ending}"] = 10 * batch * slower / rate
        if self.data == "digits":
            metrics |= {"samples/confident_share": 0.8, "samples/real_confident_share": 0.98}
            metrics |= {
                "inversion/exact_share": 0.99,
                "samples/precision": 0.7,
                "samples/real_precision": 0.9,
            }
            metrics |= {"samples/recall": 0.6, "samples/real_recall": 0.92}
        return RecordedRun(
            f"{run.name}.full", self.family, self.data, sweep="full", stage="evaluate",
            model_seed=run.model_seed, labels={**self.labels, "protocol": "full"}, metrics=metrics,
            tags={**self.tags, schema.MEASURES: run.name}, parameters=run.parameters,
        )  # fmt: skip


def _errors(name: str, error: float) -> dict[str, float]:
    """Errors that double precision shrinks, as round-off is."""
    found = {}
    for ending, scale in (("", 1.0), ("_float64", 1e-9)):
        found |= {
            f"{name}/max{ending}": error * scale, f"{name}/p99{ending}": error * scale / 3,
            f"{name}/median{ending}": error * scale / 10, f"{name}/nonfinite{ending}": 0.0,
        }  # fmt: skip
    return found
