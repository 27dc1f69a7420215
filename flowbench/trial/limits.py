"""What a rank may use: CPU threads, memory, a share of a GPU; and the seeds it begins with."""

import os
import random
import resource

import numpy as np
import psutil
import torch

from flowbench.run_directory import Replay, Terms
from flowbench.spec.run import TrainingSpec

GIB = 2**30


def set_threads(training: TrainingSpec, replay: Replay | None) -> None:
    """Use as many CPU threads as the run says, or the run that it repeats, or its slot.

    A forked process must be told: it has read `OMP_NUM_THREADS` before its slot was known.
    """
    slot = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    elif replay is not None:
        torch.set_num_threads(replay.threads)
    elif slot.isdigit():
        torch.set_num_threads(int(slot))


def set_seeds(seed: int) -> None:
    """Seed every generator: forked processes begin with copies of one state."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def limit_memory(terms: Terms, device_type: str) -> None:
    """Let allocations beyond a limit fail in this process, as its trial's outcome.

    On a CPU the limit is on what is allocated from now on, in address space, beside the program
    itself; on a GPU that other ranks share it is this one's part, with nothing to set on the CPU:
    CUDA maps far more addresses than memory.
    """
    if device_type == "cuda":
        share = float(os.environ.get("FLOWBENCH_GPU_SHARE", "1"))
        if share < 1:
            device = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
            torch.cuda.set_per_process_memory_fraction(share, device)
    elif terms.memory_gib is not None:
        limit = psutil.Process().memory_info().vms + int(terms.memory_gib * GIB)
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        if most != resource.RLIM_INFINITY:
            limit = min(limit, most)
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))
