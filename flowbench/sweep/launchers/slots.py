"""Slots: the shares of one machine that trials run in."""

import os
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """A share of the machine."""

    devices: tuple[str, ...]
    """GPUs as `CUDA_VISIBLE_DEVICES` names them; empty on a machine without."""
    threads: int
    """CPU threads of each rank."""
    gpu_share: float = 1.0
    """Of a GPU's memory, what each rank may take: less than 1 where ranks share one."""

    def environment(self) -> dict[str, str]:
        """Return the whole environment of a process that runs here."""
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        if self.devices:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.devices)
            environment["FLOWBENCH_GPU_SHARE"] = f"{self.gpu_share:.4f}"
        return environment


def machine_slots(slots: int, devices_per_trial: int) -> list[Slot]:
    """Divide this machine's GPUs, in turn, and its CPU threads among the slots.

    No rank has more threads than `OMP_NUM_THREADS` allows, where it is set.
    """
    gpus = _gpus()
    cores = len(os.sched_getaffinity(0))
    threads = max(1, cores // (slots * devices_per_trial))
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    if allowed.isdigit():
        threads = min(threads, int(allowed))
    if not gpus:
        return [Slot(devices=(), threads=threads) for _ in range(slots)]
    places = [
        [gpus[(slot * devices_per_trial + k) % len(gpus)] for k in range(devices_per_trial)]
        for slot in range(slots)
    ]
    ranks = Counter(gpu for place in places for gpu in place)
    return [
        Slot(
            devices=tuple(dict.fromkeys(place)),
            threads=threads,
            gpu_share=1 / max(ranks[gpu] for gpu in place),
        )
        for place in places
    ]


def _gpus() -> list[str]:
    """Return the GPUs that a trial may use, without loading torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device.strip()]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)  # noqa: S603
    found = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(found))]
