"""How much memory a call takes at its peak, on GPUs and on CPUs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from flowbench.evaluation.timing import wait


def peak_memory_of(call: Callable[[], object], device: torch.device) -> int:
    """Return the most bytes that tensors held at once during a call, beside those before it.

    On a GPU it is what torch's allocator says. On a CPU, where torch keeps no such account and
    the process's size is that of its libraries, every operation's results are counted for as long
    as their storage lives; what an operation itself needs in passing (the unfolded image of a
    convolution) is not seen.

    Args:
        call: what is measured; what it returns is dropped.
        device: that it runs on.
    """
    if device.type == "cuda":
        wait(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        wait(device)
        return torch.cuda.max_memory_allocated(device) - before
    storages = _LiveStorages()
    with storages:
        call()
    return storages.peak


class _LiveStorages(TorchDispatchMode):
    """Keeps account of the bytes in storages that operations made and that still live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live = 0
        self._known: set[int] = set()
        """Addresses of the storages that are counted, or were there before."""

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        for tensor in _tensors((args, kwargs)):
            self._know(tensor.untyped_storage(), 0)
        result = func(*args, **kwargs)
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            self._know(storage, storage.nbytes())
        return result

    def _know(self, storage: torch.UntypedStorage, size: int) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self._live += size
        self.peak = max(self.peak, self._live)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._live -= size


def _tensors(values: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
