"""Flows on disk: one file that holds what a flow is made of, and its weights."""

import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from flowbench.bijections.preprocess import describe
from flowbench.errors import InputError
from flowbench.families.flow import Flow
from flowbench.families.registry import create

FORMAT: Literal["flowbench flow"] = "flowbench flow"
VERSION = 1
DTYPES = {"float32": torch.float32, "float64": torch.float64}


class Record(BaseModel):
    """What a checkpoint file holds."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True
    )

    format: Literal["flowbench flow"] = FORMAT
    version: int = VERSION
    family: str
    hyperparameters: dict[str, Any]
    event_shape: list[int]
    context_size: int
    preprocess: list[dict[str, Any]]
    dtype: Literal["float32", "float64"]
    state_dict: dict[str, Tensor]
    about: dict[str, Any]
    """What training knew: the data, its levels and columns, the specification's hash."""


def save_flow(flow: Flow, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write a flow so that `load_flow` gives the same numbers.

    A reader, or a crash, sees the old file or the new one, never a part.

    Args:
        flow: made by `create`.
        path: of the file; its folder is made.
        about: facts of its training that JSON can hold.

    Raises:
        InputError: if the flow was not made by `create`, its preprocessing has no description, or
            it is in half precision.
    """
    if not flow.family_name:
        raise InputError(f"{path}: only flows made by flowbench.families.create are saved")
    dtype = str(flow.base.anchor.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise InputError(f"{path}: a flow of dtype {dtype} is not saved; allowed: float32, float64")
    record = Record(
        family=flow.family_name,
        hyperparameters=json.loads(json.dumps(flow.hyperparameters)),
        event_shape=list(flow.event_shape),
        context_size=flow.context_size,
        preprocess=describe(flow.preprocess),
        dtype=dtype,  # type: ignore[arg-type]
        state_dict={key: value.detach().cpu() for key, value in flow.state_dict().items()},
        about=json.loads(json.dumps(dict(about or {}))),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            torch.save(dict(record), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_flow(path: Path) -> Flow:
    """Read a flow, in eval mode, on the CPU and in the dtype that it was saved in.

    torch's random state is left as it was.

    Raises:
        InputError: if there is no such file, or it is truncated, damaged, no checkpoint of
            FlowBench or one of a later version.
    """
    record = _read(path)
    try:
        # The initial weights are drawn and thrown away.
        with torch.random.fork_rng(devices=[]):
            flow = create(
                record.family,
                tuple(record.event_shape),
                preprocess=record.preprocess,
                context_size=record.context_size,
                **record.hyperparameters,
            )
        flow.to(DTYPES[record.dtype]).load_state_dict(record.state_dict)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except RuntimeError as error:
        message = " ".join(str(error).split())
        raise InputError(f"{path}: its weights do not fit the family: {message}") from None
    return flow.eval()


def read_about(path: Path) -> dict[str, Any]:
    """Read what training stored beside a flow; see `load_flow` for the errors."""
    return _read(path).about


def _read(path: Path) -> Record:
    """Read and check a file, without running code from it."""
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint file")
    # What torch.save writes is a zip archive, whose directory is at its end.
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: truncated, or no checkpoint of FlowBench")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, OSError):
        raise InputError(f"{path}: damaged, or no checkpoint of FlowBench") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: no checkpoint of FlowBench")
    version = content.get("version")
    if isinstance(version, int) and version > VERSION:
        raise InputError(
            f"{path}: written by a later FlowBench (version {version} of its format); "
            f"this one reads up to {VERSION}"
        )
    try:
        return Record(**content)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise InputError(f"{path}: damaged: {key}: {error.errors()[0]['msg']}") from None
