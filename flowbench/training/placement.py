"""Where a training runs and in which precision."""

import os
from typing import Any, Literal

import torch
from pytorch_lightning.plugins.precision import MixedPrecision, Precision

from flowbench.errors import InputError
from flowbench.spec.run import TrainingSpec

DeviceType = Literal["cpu", "cuda"]


def device_type(spec: TrainingSpec) -> DeviceType:
    """Return the kind of device to train on.

    Raises:
        InputError: if this machine has not what is asked for.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if spec.accelerator == "gpu" and not gpus:
        raise InputError("training.accelerator = 'gpu': no GPU is here; allowed: auto, cpu")
    if spec.accelerator == "cpu" or not gpus:
        if spec.precision == "16":
            raise InputError("training.precision = '16' needs a GPU; allowed here: 32, 64, bf16")
        if spec.backend == "nccl":
            raise InputError("training.backend = 'nccl' needs a GPU; allowed here: auto, gloo")
        return "cpu"
    if ranks_here(spec) > gpus and spec.backend != "gloo":
        raise InputError(
            f"training.devices = {spec.devices}: {gpus} GPUs are here; only with"
            " training.backend = 'gloo' can ranks share one"
        )
    return "cuda"


def ranks_here(spec: TrainingSpec) -> int:
    """Return how many of the ranks are on this machine: all, unless the agent says otherwise."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", spec.devices))


def rank_devices(spec: TrainingSpec) -> list[torch.device]:
    """Return the device of each rank on this machine: GPUs in turn, or the CPU for all."""
    ranks = range(ranks_here(spec))
    if device_type(spec) == "cpu":
        return [torch.device("cpu") for _ in ranks]
    return [torch.device("cuda", rank % torch.cuda.device_count()) for rank in ranks]


def dtype(spec: TrainingSpec) -> torch.dtype:
    """Return the precision of parameters and data; mixed precision keeps both in float32."""
    return torch.float64 if spec.precision == "64" else torch.float32


class BatchwiseMixedPrecision(MixedPrecision):
    """Autocast around a step; batches stay as they are, their values are cast by the module."""

    def convert_input(self, data: Any) -> Any:
        return data


def precision_plugin(spec: TrainingSpec) -> Precision:
    """Return Lightning's part in the precision: autocast and gradient scaling, or nothing."""
    device = device_type(spec)
    match spec.precision:
        case "bf16":
            return BatchwiseMixedPrecision("bf16-mixed", device)
        case "16":
            return BatchwiseMixedPrecision("16-mixed", device)
        case _:
            return Precision()
