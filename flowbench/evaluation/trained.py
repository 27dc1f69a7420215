"""A trained model opened again, with what its checkpoint says of the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from flowbench.data.dequantize import Dequantizer
from flowbench.data.module import FlowData, open_data
from flowbench.errors import InputError
from flowbench.evaluation.measuring import place
from flowbench.families.checkpoint import load_flow, read_about
from flowbench.families.flow import Flow
from flowbench.numerics.keyed_noise import string_key
from flowbench.run_directory import find_model
from flowbench.spec.run import DataSpec


class About(BaseModel):
    """What training wrote beside the weights; a checkpoint made by hand says nothing."""

    model_config = ConfigDict(frozen=True)

    data: DataSpec | None = None
    data_seed: int = 0
    data_name: str = ""
    data_hash: str = ""
    levels: int | None = None
    """Number of integer values of each pixel."""
    dequantised: tuple[int, ...] | None = None
    """The coordinates of a table that are integers."""
    columns: tuple[str, ...] = ()
    """Names of the coordinates of a table."""

    @property
    def dequantise(self) -> Dequantizer:
        """The boundary step of the data: the noise of the same key as in training."""
        return Dequantizer(string_key(self.data_name), self.levels, self.dequantised)

    @property
    def context(self) -> tuple[str, ...]:
        """Names of the columns that condition the density."""
        return () if self.data is None else tuple(self.data.context)


@dataclass(frozen=True)
class Trained:
    """A model from disk.

    Attributes:
        path: its checkpoint.
        flow: in eval mode.
        about: what is known of its data.
    """

    path: Path
    flow: Flow
    about: About

    def open_data(self, batch_size: int = 256) -> FlowData:
        """Open the data set that the model was trained on, split in the same way.

        Args:
            batch_size: that it was trained with.

        Raises:
            InputError: if the checkpoint does not name its data, or they are not what they were.
        """
        about = self.about
        if about.data is None:
            raise InputError(f"{self.path}: does not say what data it was trained on")
        data = open_data(about.data, about.data_seed, batch_size, place(self.flow)[1])
        if data.info.content_hash != about.data_hash:
            raise InputError(
                f"{about.data_name}: content hash {data.info.content_hash}; the model was trained "
                f"on {about.data_hash}, so what was held out then may not be now"
            )
        return data


def open_trained(name: str) -> Trained:
    """Open a checkpoint, or the best model of a run.

    Raises:
        InputError: if there is none, or the file is no checkpoint.
    """
    path = find_model(name)
    flow = load_flow(path)
    try:
        about = About.model_validate(read_about(path))
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise InputError(f"{path}: damaged: about.{key}: {error.errors()[0]['msg']}") from None
    return Trained(path, flow, about)
