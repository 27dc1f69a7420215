"""What the fork server imports, so that trials need not: the first thing it does.

The server dies with the driver's thread that started it, and trials die with the server. It runs
no tensor operation (a pool of threads does not survive a fork) and leaves CUDA alone (a context
does not either). Any failure ends the server: `multiprocessing` would pass over it.
"""

import gc
import os
import traceback

from flowbench.run_directory import PARENT
from flowbench.trial.processes import die_with

try:
    os.setsid()  # a closed terminal is for the driver to deal with
    die_with(int(os.environ[PARENT]))
    os.environ[PARENT] = str(os.getpid())
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # counting GPUs leaves CUDA alone

    import encodings.idna  # noqa: F401 - these, too, would be imported on the way

    import pyarrow.parquet  # noqa: F401
    import torch
    import torch.distributed.algorithms.ddp_comm_hooks.debugging_hooks

    import flowbench.trial.elastic
    import flowbench.trial.leader
    import flowbench.trial.speed  # noqa: F401

    if torch.cuda.is_initialized():
        raise RuntimeError("an import has initialised CUDA: forked trials could not use it")
    gc.collect()
    gc.freeze()  # what is shared by all trials is not looked at, and so not copied, in each
except BaseException:
    traceback.print_exc()
    os._exit(1)
