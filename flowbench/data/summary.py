"""What `flowbench data` tells: shape, splits, hash, baselines, warnings."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import log
from typing import Any

import numpy as np
import torch

from flowbench.data.baselines import FlowGaussian, Gaussian, Histogram
from flowbench.data.module import FlowData
from flowbench.numerics.keyed_noise import string_key
from flowbench.run_directory import home, write_atomically
from flowbench.spec.vocabulary import SPLIT_PREFIX, Split

HELD_OUT: tuple[Split, ...] = ("validation", "test")


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
            facts.append(("columns", ", ".join(self.columns)))
        if self.labels:
            facts.append(("labels", ", ".join(f"{k}: {v:,}" for k, v in self.labels.items())))
        return facts


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
    """Return the baselines on the same split, kept under `runs/baselines` by content hash.

    Names: ``gaussian/{val,test}/{nats,bits_per_dim}``; on images also ``gaussian_flow/...`` (fitted
    in flow coordinates) and ``histogram/...``; ``entropy/nats`` and ``volume_preserving/excess``
    where the density is known.
    """
    steps = json.dumps(data.preprocess_steps, sort_keys=True)
    key = f"{data.info.content_hash}-{string_key(steps):016x}"
    kept = home() / "baselines" / f"{key}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text()))
    measured = _measure(data)
    write_atomically(kept, json.dumps(measured, indent=1))
    return measured


def _measure(data: FlowData) -> dict[str, float]:
    dim = int(np.prod(data.info.event_shape))
    found: dict[str, float] = {}

    def keep(baseline: str, split: Split, nats: float) -> None:
        prefix = f"{baseline}/{SPLIT_PREFIX[split]}"
        found[f"{prefix}/nats"] = nats
        found[f"{prefix}/bits_per_dim"] = -nats / (dim * log(2))

    densities: dict[str, Gaussian | FlowGaussian] = {
        "gaussian": Gaussian(batch.x for batch in data.batches("train"))
    }
    images = data.info.kind == "image" and data.info.levels is not None
    if images:
        train = (batch.x for batch in data.batches("train"))
        densities["gaussian_flow"] = FlowGaussian(train, data.preprocess().double())
    for split in HELD_OUT:
        for baseline, density in densities.items():
            log_prob = [density.log_prob(batch.x) for batch in data.batches(split)]
            keep(baseline, split, float(torch.cat(log_prob).mean()))
    if images and data.info.levels is not None:
        histogram = Histogram(data.source.splits["train"].x, data.info.levels)
        for split in HELD_OUT:
            keep("histogram", split, histogram.mean_log_prob(data.source.splits[split].x))
    if data.source.density is not None:
        found["entropy/nats"] = data.source.density.entropy
        found["volume_preserving/excess"] = data.source.density.volume_preserving_floor
    return found
