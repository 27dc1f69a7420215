"""A data set opened: split, hashed, batched and described."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset

from flowbench.bijections.base import Bijection
from flowbench.bijections.compose import Compose
from flowbench.bijections.preprocess import PreprocessSteps, Standardise, as_preprocess
from flowbench.data.batch import Batch
from flowbench.data.catalogue import named
from flowbench.data.dequantize import Dequantizer
from flowbench.data.files import from_files
from flowbench.data.samplers import EpochSampler, SequentialShare
from flowbench.data.source import Kind, Part, Source
from flowbench.data.splits import nested_share
from flowbench.errors import InputError
from flowbench.numerics.keyed_noise import string_key
from flowbench.spec.run import DataSpec
from flowbench.spec.vocabulary import DataLabel, Split

BATCH = 2048
"""Rows handled at once where a whole split is gone through."""

FILE_KEYS = ("context", "label", "group", "dequantise", "drop_columns", "drop_rows", "key")
"""Keys of a specification that say how to read a user's file."""

CHECKED = 2048
"""Rows of each split on which preprocessing must give finite values."""


@dataclass(frozen=True)
class DataInfo:
    """What a data set is, for records and reports."""

    name: str
    kind: Kind
    event_shape: tuple[int, ...]
    context_size: int
    levels: int | None
    sizes: dict[str, int]
    content_hash: str
    warnings: tuple[str, ...]
    columns: tuple[str, ...]
    label_names: tuple[str, ...]
    data_label: DataLabel


class RowDataset(Dataset[Batch]):
    """Rows fetched a batch at a time by a list of positions."""

    def __init__(self, part: Part, dtype: torch.dtype) -> None:
        self.part, self.dtype = part, dtype

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, positions: list[int]) -> Batch:
        where = np.asarray(positions)
        rows = self.part.take(where)
        context = None if rows.context is None else torch.as_tensor(rows.context).to(self.dtype)
        label = None if rows.label is None else torch.as_tensor(rows.label)
        x = torch.from_numpy(np.ascontiguousarray(rows.x)).to(self.dtype)
        return Batch(x, torch.from_numpy(self.part.row[where]), context, label)


class FlowData(pl.LightningDataModule):
    """One data set under one split, as Lightning and the measures need it.

    Batches hold values as they are; `dequantise` is the boundary step that whoever uses them
    takes on the device.

    Attributes:
        info: what the data set is.
        sampler_seed: decides the order of training rows; a run sets it to its model seed.
    """

    sampler_seed = 0

    def __init__(
        self,
        source: Source,
        steps: PreprocessSteps,
        batch_size: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.source, self.batch_size, self.dtype = source, batch_size, dtype
        self.preprocess_steps = [dict(step) for step in steps]
        discrete = source.levels is not None or bool(source.dequantised)
        train = source.splits["train"].pool
        self.info = DataInfo(
            name=source.name,
            kind=source.kind,
            event_shape=tuple(train.x.shape[1:]),
            context_size=0 if train.context is None else train.context.shape[1],
            levels=source.levels,
            sizes={split: len(part) for split, part in source.splits.items()},
            content_hash=content_hash(source),
            warnings=source.warnings,
            columns=source.columns,
            label_names=source.label_names,
            data_label="dequantised" if discrete else "density",
        )
        # Keyed by the name, not by the hash: a share of a data set gets the same noise as the
        # whole of it.
        self.dequantise = Dequantizer(string_key(source.name), source.levels, source.dequantised)

    def split(self, split: Split) -> RowDataset:
        """Return one part."""
        return RowDataset(self.source.splits[split], self.dtype)

    def batches(
        self, split: Split, batch_size: int = BATCH, *, draw: int = 0, limit: int | None = None
    ) -> Iterator[Batch]:
        """Yield a part in order, dequantised, the last batch as long as it is.

        Args:
            split: which part.
            batch_size: rows at a time.
            draw: number of the dequantization draw.
            limit: stop after so many rows.
        """
        data = self.split(split)
        count = len(data) if limit is None else min(limit, len(data))
        for start in range(0, count, batch_size):
            batch = data[list(range(start, min(start + batch_size, count)))]
            x = self.dequantise(batch.x, batch.row, draw)
            yield Batch(x, batch.row, batch.context, batch.label)

    def preprocess(self) -> Bijection:
        """Return the preprocessing, its statistics fitted to the training split."""
        # A copy: whoever gets it may move it to another device or precision.
        return deepcopy(self._fitted)

    @cached_property
    def _fitted(self) -> Bijection:
        shape = self.info.event_shape
        layers: list[Bijection] = []
        for step in self.preprocess_steps:
            if step["name"] == "standardise":
                layers.append(self._standardise(Compose(layers)))
            else:
                layers.append(as_preprocess([step], shape))
        return Compose(layers)

    def _standardise(self, before: Bijection) -> Standardise:
        """Fit mean and deviation in float64, after the steps before.

        Batches are joined by the update of Chan, Golub and LeVeque 1983, which loses no digits to
        a mean far from zero.
        """
        count = 0
        mean = squares = torch.zeros((), dtype=torch.float64)
        for batch in self.batches("train"):
            y = before.encode_map(batch.x.double())
            new, gap = len(y), y.mean(0) - mean
            squares = squares + (y - y.mean(0)).square().sum(0)
            squares = squares + gap.square() * (count * new / (count + new))
            mean = mean + gap * (new / (count + new))
            count += new
        deviation = (squares / count).sqrt()
        # A pixel may be constant in flow coordinates; dividing by one leaves it so.
        deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
        return Standardise(self.info.event_shape, mean.to(self.dtype), deviation.to(self.dtype))

    def train_dataloader(self) -> DataLoader[Batch]:
        rank, world = rank_and_world_size()
        data = self.split("train")
        sampler = EpochSampler(len(data), self.batch_size, self.sampler_seed, rank, world)
        return DataLoader(data, batch_size=None, sampler=sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        rank, world = rank_and_world_size()
        data = self.split("validation")
        return DataLoader(
            data, batch_size=None, sampler=SequentialShare(len(data), BATCH, rank, world)
        )


def rank_and_world_size() -> tuple[int, int]:
    """Return this process's place in the process group, (0, 1) without one."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def content_hash(source: Source) -> str:
    """Return a hash of every value and of the split, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for split, part in source.splits.items():
        digest.update(f"{split}{len(part)}".encode())
        for start in range(0, len(part), BATCH):
            here = slice(start, start + BATCH)
            rows = part.take(here)
            for array in (rows.x, rows.context, part.row[here]):
                if array is not None:
                    digest.update(f"{array.dtype}{array.shape[1:]}".encode())
                    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def open_data(
    spec: DataSpec, data_seed: int, batch_size: int = 256, dtype: torch.dtype = torch.float32
) -> FlowData:
    """Read, split and prepare what a specification names.

    Args:
        spec: which data, and how.
        data_seed: decides the split and generated data.
        batch_size: the global training batch.
        dtype: of the batches.

    Raises:
        InputError: for whatever is wrong with the data, in a sentence.
    """
    if spec.name is not None:
        for key in FILE_KEYS:
            if getattr(spec, key):
                raise InputError(f"data.{key}: for files only; {spec.name} is known by name")
        source = named(spec.name, data_seed)
    else:
        source = from_files(spec, data_seed)
    if spec.train_size is not None:
        train = source.splits["train"]
        share = train.only(nested_share(len(train), spec.train_size, data_seed))
        source = replace(source, splits={**source.splits, "train": share})
    steps = source.preprocess if spec.preprocess is None else spec.preprocess
    data = FlowData(source, steps, batch_size, dtype)
    refuse_unfit(data)
    return data


def refuse_unfit(data: FlowData) -> None:
    """Refuse preprocessing that takes values of the data set out of the real line.

    Raises:
        InputError: naming the step, a split and a row.
    """
    shape = data.info.event_shape
    for step in data.preprocess_steps:
        as_preprocess([step], shape)  # refuses an unknown step before any is fitted
    preprocess = data.preprocess().double()
    for split in data.source.splits:
        for batch in data.batches(split, limit=CHECKED):
            y = preprocess.encode_map(batch.x.double())
            broken = ~y.flatten(1).isfinite().all(1)
            if broken.any():
                names = " -> ".join(str(step["name"]) for step in data.preprocess_steps)
                raise InputError(
                    f"data.preprocess: {names} is not finite on {data.info.name}, {split} row "
                    f"{int(broken.nonzero()[0]) + 1}; a logit needs values between 0 and 1"
                )
