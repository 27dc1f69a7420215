"""What `flowbench data` tells: shape, splits, hash, baselines, warnings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import log, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowbench.data.baselines import Gaussian, Histogram
from flowbench.data.module import FlowData
from flowbench.numerics.keyed_noise import string_key
from flowbench.run_directory import home, write_atomically
from flowbench.spec.vocabulary import SPLIT_PREFIX, Split

HELD_OUT: tuple[Split, ...] = ("validation", "test")

VERSION = 1
"""Of the baselines' definitions: a change makes what was kept under another one stale."""

MOST_LEVELS = 1 << 16
"""Integers of a wider range get no histogram: nearly all of its cells would be empty."""

BASELINE_WORDS = {
    "gaussian": "full-covariance Gaussian",
    "gaussian_flow": "Gaussian in flow coordinates",
    "histogram": "independent histograms",
}

SHOWN = 12
"""Columns, or labels, that are listed by name."""


@dataclass(frozen=True)
class Summary:
    """A data set described; `baselines` has the names and units of the record."""

    name: str
    kind: str
    event_shape: tuple[int, ...]
    sizes: dict[str, int]
    content_hash: str
    preprocess: list[dict[str, Any]]
    levels: int | None
    columns: tuple[str, ...]
    labels: dict[str, int]
    baselines: dict[str, float]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the summary for JSON."""
        return asdict(self)

    def facts(self) -> list[tuple[str, str]]:
        """Return what fits in a two-column table."""
        steps = " -> ".join(
            " ".join(f"{k}={v}" if k != "name" else str(v) for k, v in step.items())
            for step in self.preprocess
        )
        facts = [
            ("kind", self.kind),
            ("event shape", " x ".join(map(str, self.event_shape))),
            *((split, f"{size:,} rows") for split, size in self.sizes.items()),
            ("content hash", self.content_hash),
            ("preprocessing", steps or "none"),
        ]
        if self.levels is not None:
            facts.append(("levels", f"{self.levels} (dequantised)"))
        if self.columns:
            facts.append(("columns", f"{len(self.columns)}: {_listed(self.columns)}"))
        if self.labels:
            counts = [f"{label} ({count:,})" for label, count in self.labels.items()]
            facts.append(("labels", f"{len(counts)}: {_listed(counts)}"))
        return facts

    def baseline_rows(self) -> list[tuple[str, ...]]:
        """Return a row for each baseline: bits/dim and nats on validation, then on test data."""
        rows = []
        for name, words in BASELINE_WORDS.items():
            if f"{name}/test/nats" in self.baselines:
                values = (
                    self.baselines[f"{name}/{SPLIT_PREFIX[split]}/{unit}"]
                    for split in HELD_OUT
                    for unit in ("bits_per_dim", "nats")
                )
                rows.append((words, *(f"{value:.4f}" for value in values)))
        if "entropy/nats" in self.baselines:
            nats = -self.baselines["entropy/nats"]
            floor = nats - self.baselines["volume_preserving/excess"]
            for words, value in (("true density", nats), ("best volume-preserving flow", floor)):
                known = (f"{-value / (prod(self.event_shape) * log(2)):.4f}", f"{value:.4f}")
                rows.append((words, *known, *known))
        return rows


def _listed(words: Sequence[str]) -> str:
    more = ", ..." if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more


def summarise(data: FlowData) -> Summary:
    """Describe a data set, its baselines included."""
    info = data.info
    label = data.source.splits["train"].label
    counts: dict[str, int] = {}
    if label is not None:
        for value, count in zip(*np.unique(label, return_counts=True), strict=True):
            named = 0 <= value < len(info.label_names)
            counts[info.label_names[value] if named else str(value)] = int(count)
    return Summary(
        name=info.name,
        kind=info.kind,
        event_shape=info.event_shape,
        sizes=info.sizes,
        content_hash=info.content_hash,
        preprocess=data.preprocess_steps,
        levels=info.levels,
        columns=info.columns,
        labels=counts,
        baselines=baselines(data),
        warnings=info.warnings,
    )


def baselines(data: FlowData) -> dict[str, float]:
    """Return the baselines on the same split, kept under `runs/baselines` by content.

    Names: ``gaussian/{val,test}/{nats,bits_per_dim}``; on images also ``gaussian_flow/...`` (fitted
    in flow coordinates); on images and tables of integers ``histogram/...``; ``entropy/nats`` and
    ``volume_preserving/excess`` where the density is known. Densities of integers are those of the
    first dequantization draw.
    """
    source = data.source
    how = json.dumps([VERSION, data.preprocess_steps, source.levels, source.dequantised])
    kept = home() / "baselines" / f"{data.info.content_hash}-{string_key(how):016x}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text()))
    measured = measure_baselines(data)
    write_atomically(kept, json.dumps(measured, indent=1))
    return measured


def measure_baselines(data: FlowData) -> dict[str, float]:
    """Fit the baselines to the training split and return what they score; see `baselines`."""
    gaussian, in_flow = Gaussian(), Gaussian()
    image = data.info.kind == "image"
    preprocess = data.preprocess().double()
    histogram = _histogram(data)
    for batch in data.batches("train"):
        gaussian.add(batch.x, batch.context)
        if image:
            in_flow.add(preprocess.encode_map(batch.x.double()))
        if histogram is not None:
            histogram.add(data.dequantise.quantise(batch.x).numpy())
    found: dict[str, float] = {}
    for split in HELD_OUT:
        scores: dict[str, list[Tensor]] = {}
        for batch in data.batches(split):
            of_batch = {"gaussian": gaussian.log_prob(batch.x, batch.context)}
            if image:
                y, log_det = preprocess.encode(batch.x.double())
                of_batch["gaussian_flow"] = in_flow.log_prob(y) + log_det
            if histogram is not None:
                whole = data.dequantise.quantise(batch.x).numpy()
                of_batch["histogram"] = torch.from_numpy(histogram.log_prob(whole))
            for name, log_prob in of_batch.items():
                scores.setdefault(name, []).append(log_prob)
        for name, parts in scores.items():
            nats = float(torch.cat(parts).mean())
            found[f"{name}/{SPLIT_PREFIX[split]}/nats"] = nats
            dim = prod(data.info.event_shape)
            found[f"{name}/{SPLIT_PREFIX[split]}/bits_per_dim"] = -nats / (dim * log(2))
    if data.source.density is not None:
        found["entropy/nats"] = data.source.density.entropy
        found["volume_preserving/excess"] = data.source.density.volume_preserving_floor
    return found


def gaussian_log_prob(data: FlowData, split: Split) -> Tensor:
    """Return the log-density in nats of every point of a split under the baseline Gaussian, (N,).

    What `gaussian/.../nats` is the mean of; of integers it is that of their first draw.
    """
    gaussian = Gaussian()
    for batch in data.batches("train"):
        gaussian.add(batch.x, batch.context)
    return torch.cat([gaussian.log_prob(b.x, b.context) for b in data.batches(split)])


def _histogram(data: FlowData) -> Histogram | None:
    """Return an empty histogram for data whose every coordinate is an integer."""
    shape = data.info.event_shape
    if data.info.levels is not None:
        return Histogram(0, data.info.levels, shape)
    if len(data.source.dequantised or ()) < prod(shape):
        return None
    pools = [part.pool.x for part in data.source.splits.values()]
    low, high = min(int(x.min()) for x in pools), max(int(x.max()) for x in pools)
    return Histogram(low, high - low + 1, shape) if high - low < MOST_LEVELS else None
